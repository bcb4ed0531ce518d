/** `scission infer`: one request to a deployment, or to a model on a named resource. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { createInferenceClient, type InferenceClient } from '../../../shared/client/inference.ts'
import { Datatype, type TensorSpec } from '../../../shared/contracts/common.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'
import { makeInputs } from '../../../shared/onnx/index.ts'
import { byteLength, type Tensor } from '../../../shared/contracts/tensor.ts'
import { tensorValues } from '../../demo/tensor-values.ts'
import { formatMs, formatShape } from '../../terminal/format.ts'
import { renderTable } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { wholeNumber } from '../numbers.ts'

interface InferOptions {
  on?: string
  input?: string[]
  shapes?: string
  seed: number
}

/** Maximum number of elements shown of each output. */
const SHOWN = 8

export function addInferCommand(program: Command, context: () => Context): void {
  program
    .command('infer <model>')
    .description('run a deployment (or, with --on, a model on one resource) once')
    .option('--on <resource>', 'the resource to ask; default: the entry of the deployment')
    .option(
      '--input <name=file...>',
      'raw little-endian bytes of an input; inputs not given are random numbers',
    )
    .option('--shapes <shapes>', 'shapes of inputs with open dimensions: input:1x3x224x224')
    .option('--seed <n>', 'of the random numbers', wholeNumber, 1)
    .action(async (model: string, options: InferOptions) => {
      const { print } = context()
      const client = await clientFor(context(), model, options.on)
      const inputs = await inputsFor(client, model, options)
      const start = performance.now()
      const { outputs, parameters } = await client.infer(model, inputs)
      const elapsedMs = performance.now() - start
      const shown = outputs.map((output) => ({
        ...describe(output),
        values: Array.from(tensorValues(output)),
      }))
      print({ elapsedMs, parameters, outputs: shown }, () => {
        const rows = shown.map((one) => [
          one.name,
          one.datatype,
          formatShape(one.shape),
          one.values
            .slice(0, SHOWN)
            .map((value) => value.toPrecision(4))
            .join(' '),
        ])
        const times = Object.entries(parameters).map(([key, value]) => `  ${key} ${value}`)
        return [
          renderTable(['output', 'type', 'shape', 'first values'], rows),
          `took ${formatMs(elapsedMs)}`,
          ...times,
        ].join('\n')
      })
    })
}

const describe = ({ name, datatype, shape }: Tensor) => ({ name, datatype, shape })

async function clientFor(
  { planner }: Context,
  model: string,
  on: string | undefined,
): Promise<InferenceClient> {
  if (on === undefined) {
    const { entry } = await planner.deployment(model)
    return createInferenceClient(entry.resource, entry.url)
  }
  const resources = await planner.resources()
  const found = resources.find((resource) => resource.name === on)
  if (found) return createInferenceClient(found.name, found.url)
  throw new ScissionError(
    'notFound',
    `unknown resource "${on}"; known: ${resources.map((resource) => resource.name).join(', ')}`,
  )
}

async function inputsFor(client: InferenceClient, model: string, options: InferOptions): Promise<Tensor[]> {
  const metadata = await client.metadata(model)
  const shapes = options.shapes === undefined ? {} : parseInputShapes(options.shapes)
  const specs = metadata.inputs.map((input): TensorSpec => {
    const datatype = Datatype.parse(input.datatype)
    const shape = shapes[input.name] ?? input.shape
    if (shape.some((dim) => dim < 0)) {
      throw new ScissionError(
        'needsInputShapes',
        `input ${input.name} has shape [${shape.join(',')}]: fix it with --shapes ${input.name}:…`,
      )
    }
    return {
      name: input.name,
      datatype,
      shape,
      bytes: datatype === 'BYTES' ? 0 : byteLength(datatype, shape),
    }
  })
  const files = new Map((options.input ?? []).map(splitInput))
  const unknown = [...files.keys()].find((name) => !specs.some((spec) => spec.name === name))
  if (unknown !== undefined)
    throw new ScissionError(
      'invalidTensor',
      `unknown input "${unknown}"; known: ${specs.map((spec) => spec.name).join(', ')}`,
    )
  const random = makeInputs(specs, options.seed)
  return Promise.all(
    random.map(async (tensor) => {
      const file = files.get(tensor.name)
      return file === undefined ? tensor : { ...tensor, bytes: await readInput(tensor.name, file) }
    }),
  )
}

async function readInput(name: string, file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file))
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown)
    throw new ScissionError(
      'badRequest',
      `--input ${name}: cannot read ${file}: ${reason}`,
      undefined,
      thrown,
    )
  }
}

function splitInput(text: string): [string, string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new ScissionError('badRequest', `--input must be name=file, got: ${text}`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}
