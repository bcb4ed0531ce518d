/**
 * Takes one case the way of a user through a running system, and compares every answer with the right values:
 *
 *   upload → layers → whole, by JSON too → cuts (layers 0-k on one machine, what comes back into k-N on another) →
 *   single (every layer on the next machine) → benchmark → plan → deploy → infer, by JSON too → undeploy → delete
 *
 * A step that fails does not stop the later ones that are still possible.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { System } from '../../infra/start/system.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import type { InputShapes } from '../../shared/contracts/common.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { describeModel } from '../../shared/onnx/index.ts'
import { coerceError, ERROR_STATUS, ScissionError } from '../../shared/platform/errors.ts'
import { compareAll } from '../support/compare-tensors.ts'
import { readArrays } from '../onnx/support/references.ts'
import { cutInTwo, layerByLayer } from './drive-cuts.ts'
import { deployed } from './drive-deployment.ts'
import {
  client,
  type Do,
  type Drive,
  type Driven,
  type DriveOptions,
  type Found,
  hasJsonForm,
  mapOf,
  type Tensors,
} from './driven.ts'
import { inferByJson } from './json-infer.ts'
import type { Case } from './read-cases.ts'
import { referenceOf } from './reference.ts'

export async function driveCase(system: System, given: Case, options: DriveOptions): Promise<Drive> {
  const drive: Drive = { steps: {}, notes: [] }
  const step: Do = async (name, run) => {
    const start = performance.now()
    const since = () => Math.round((performance.now() - start) / 10) / 100
    try {
      drive.steps[name] = { ok: true, ...(await run()), seconds: since() }
      return true
    } catch (thrown) {
      drive.steps[name] = { ok: false, ...failure(thrown), seconds: since() }
      return false
    }
  }
  const benchmark = createBenchmarkClient(system.benchmarkUrl)
  let inputs: Tensors = new Map()
  let reference: Tensors | undefined
  const hasInputs = await step('inputs', async () => {
    inputs = new Map(
      (await readArrays(given.inputs)).map(({ key, tensor }) => [key, { name: key, ...tensor }]),
    )
    return {}
  })
  if (hasInputs && !given.noReference)
    await step('reference', async () => {
      reference = await referenceOf(given.reference, [...inputs.values()])
      return {}
    })
  if (reference === undefined) drive.notes.push('the outputs were not compared: ONNX Runtime gave none')
  let model = ''
  const isUploaded = await step('upload', async () => {
    const name = given.name.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 60)
    const inputShapes = await shapesOf(given, inputs)
    const external = { inputShapes, externalData: given.external }
    model = (await benchmark.uploadModel(given.model, name, external)).id
    return {}
  })
  if (!isUploaded) return drive
  let structure: Structure | undefined
  await step('layers', async () => {
    structure = await benchmark.structure(model)
    const { layers, boundaries } = structure
    if (boundaries.length !== layers.length + 1)
      throw new Error(`${layers.length} layers have ${boundaries.length} boundaries`)
    return {}
  })
  if (structure !== undefined && hasInputs) {
    const check = checker(given, reference)
    await driveModel({ system, given, model, inputs, structure, check }, options, step)
  }
  await step('delete', async () => {
    await whenFree(() => benchmark.deleteModel(model))
    return {}
  })
  return drive
}

async function driveModel(driven: Driven, options: DriveOptions, step: Do): Promise<void> {
  const { system, model, inputs, structure, check } = driven
  const values = [...inputs.values()]
  await step('whole', async () => check(mapOf((await client(system, 0).infer(model, values)).outputs)))
  if (hasJsonForm(values) && hasJsonForm(structure.outputs)) {
    const { baseUrl } = client(system, 0)
    await step('json', async () => check(mapOf((await inferByJson(baseUrl, model, values)).outputs)))
  }
  await step('cuts', () => cutInTwo(driven, options))
  if (!options.toTheEnd) return
  if (structure.layers.length <= MOST_SINGLE_LAYERS) await step('single', () => layerByLayer(driven))
  await deployed(driven, step)
}

/** Beyond it, a range for every layer takes long. */
const MOST_SINGLE_LAYERS = 60

function failure(thrown: unknown): { error: string; status?: number } {
  const { message } = coerceError(thrown)
  return thrown instanceof ScissionError ? { error: message, status: thrown.status } : { error: message }
}

/** A deployment that was just ended holds its model for a moment. */
async function whenFree(run: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (thrown) {
      const isHeld = thrown instanceof ScissionError && thrown.status === ERROR_STATUS.conflict
      if (!isHeld || attempt === DELETE_ATTEMPTS) throw thrown
      await sleep(DELETE_EVERY_MS)
    }
  }
}

const DELETE_ATTEMPTS = 20
const DELETE_EVERY_MS = 500

/** Those of the inputs, if the file leaves some open. */
async function shapesOf(given: Case, inputs: Tensors): Promise<InputShapes | undefined> {
  if (given.shapes !== undefined) return given.shapes ?? undefined
  // The upload itself is to refuse a file that cannot be read.
  const described = await describeModel(given.model).catch(() => undefined)
  const isOpen = described?.inputs.some(({ shape }) => shape.some((dim) => typeof dim === 'string'))
  if (!isOpen || inputs.size === 0) return undefined
  return Object.fromEntries([...inputs].map(([name, { shape }]) => [name, shape]))
}

function checker(given: Case, reference: Tensors | undefined): Driven['check'] {
  return (answer, tolerance = given.tolerance) => {
    if (reference === undefined) return {}
    const names = (tensors: Tensors) => [...tensors.keys()].sort().join(', ')
    if (names(answer) !== names(reference))
      throw new Error(`the outputs are ${names(answer)} instead of ${names(reference)}`)
    if (given.random) return checkTypes(answer, reference)
    const { apart, why } = compareAll(answer, reference)
    if (apart > tolerance) throw new Error(why)
    return { apart }
  }
}

function checkTypes(answer: Tensors, reference: Tensors): Found {
  for (const [name, { datatype }] of reference)
    if (answer.get(name)?.datatype !== datatype) throw new Error(`${name} is no ${datatype}`)
  return {}
}
