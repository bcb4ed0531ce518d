/**
 * Models made of plain functions, and an engine that runs them in place of ONNX Runtime: what the service makes of
 * requests is tested here, what ONNX Runtime makes of tensors elsewhere.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  DATATYPES,
  type Datatype,
  ModelId,
  ShapesKey,
  type TensorSpec,
} from '../../../shared/contracts/common.ts'
import { Model, Structure } from '../../../shared/contracts/model.ts'
import { checkInputs } from '../../../services/inference/serving/executor/check-inputs.ts'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { gate } from '../../support/gate.ts'
import { hasOpenDimensions } from '../../../shared/onnx/canonical/declared-tensors.ts'
import { openShapesKeyOf, shapesKeyOf } from '../../../shared/onnx/canonical/shapes-key.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../../../shared/contracts/tensor.ts'
import type { Engine } from '../../../services/inference/serving/engine.ts'
import type { LoadedStage, RunResult } from '../../../services/inference/serving/executor/executor.ts'
import type { RangeKey } from '../../../services/inference/ranges/stored-range.ts'

interface ToyLayer {
  name: string
  inputs: string[]
  outputs: TensorSpec[]
  run: (inputs: Tensor[]) => Tensor[]
}

export interface ToyModel {
  model: Model
  structure: Structure
  layers: ToyLayer[]
}

export function toySpec(name: string, datatype: Datatype, shape: number[]): TensorSpec {
  const bytes = datatype === 'BYTES' ? 0 : elementCount(shape.map(Math.abs)) * ELEMENT_BYTES[datatype]
  return { name, datatype, shape, bytes }
}

export function fp32Tensor(name: string, values: readonly number[], shape = [values.length]): Tensor {
  return { name, datatype: 'FP32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) }
}

const fp32Values = (tensor: Tensor | undefined): number[] =>
  tensor ? [...new Float32Array(new Uint8Array(tensor.bytes).buffer)] : []

const map =
  (name: string, f: (...values: number[]) => number) =>
  (inputs: Tensor[]): Tensor[] => {
    const columns = inputs.map(fp32Values)
    const values = (columns[0] ?? []).map((_, index) => f(...columns.map((column) => column[index] ?? 0)))
    return [fp32Tensor(name, values, inputs[0]?.shape)]
  }

export function layer(
  name: string,
  inputs: string[],
  shape: number[],
  f: (...values: number[]) => number,
): ToyLayer {
  return { name, inputs, outputs: [toySpec(name, 'FP32', shape)], run: map(name, f) }
}

/** x → a = 2x → b = a + 1 → y = a·b. Boundary 2 has two tensors, a and b. */
export function branchedModel(id: string, changes: Partial<Model> = {}): ToyModel {
  const layers = [
    layer('a', ['x'], [2], (x) => 2 * x),
    layer('b', ['a'], [2], (a) => a + 1),
    layer('y', ['a', 'b'], [2], (a, b) => a * b),
  ]
  return toyModel(id, [toySpec('x', 'FP32', [2])], ['y'], layers, { name: 'branched', ...changes })
}

/** y = ((x + 1) · 2) + 3, one layer each. */
export function lineModel(id: string, shape: number[]): ToyModel {
  const layers = [
    layer('a', ['x'], shape, (x) => x + 1),
    layer('b', ['a'], shape, (a) => 2 * a),
    layer('y', ['b'], shape, (b) => b + 3),
  ]
  return toyModel(id, [toySpec('x', 'FP32', shape)], ['y'], layers, { name: 'line' })
}

/** An input of `branchedModel` as JSON, and the output that belongs to it. */
export const X = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
export const Y = { name: 'y', shape: [2], datatype: 'FP32', data: [6, 20] }

/** One input and one output of every datatype, handed through: y_fp32 = x_fp32 and so on, four elements each. */
export function everyTypeModel(id: string): ToyModel {
  const name = (prefix: string, datatype: Datatype) => `${prefix}_${datatype.toLowerCase()}`
  const inputs = DATATYPES.map((datatype) => toySpec(name('x', datatype), datatype, [2, 2]))
  const outputs = DATATYPES.map((datatype) => toySpec(name('y', datatype), datatype, [2, 2]))
  const run = (tensors: Tensor[]) =>
    tensors.map((tensor, index) => ({ ...tensor, name: outputs[index]?.name ?? '' }))
  const layers = [{ name: 'all', inputs: inputs.map((input) => input.name), outputs, run }]
  return toyModel(
    id,
    inputs,
    outputs.map((output) => output.name),
    layers,
    { name: 'every-type' },
  )
}

/** y = f(x), one layer. */
export function singleLayerModel(
  id: string,
  name: string,
  input: TensorSpec,
  f: (x: Tensor) => Omit<Tensor, 'name'>,
  changes: Partial<Model> = {},
): ToyModel {
  const run = ([x]: Tensor[]) => (x ? [{ ...f(x), name: 'y' }] : [])
  const layers = [{ name: 'only', inputs: [input.name], outputs: [{ ...input, name: 'y' }], run }]
  return toyModel(id, [input], ['y'], layers, { name, ...changes })
}

export function toyModel(
  idDigit: string,
  inputs: TensorSpec[],
  outputNames: string[],
  layers: ToyLayer[],
  changes: Partial<Model>,
): ToyModel {
  const id = idDigit.repeat(64)
  const inputShapes = Object.fromEntries(inputs.map((input) => [input.name, input.shape.map(Math.abs)]))
  const declaredInputs = inputs.map((input) => ({
    ...input,
    shape: input.shape.map((dim) => (dim < 0 ? 'n' : dim)),
  }))
  // A model with open dimensions has no shapes of its own, only its open structure.
  const open = hasOpenDimensions(declaredInputs)
  const shapesKey = open ? openShapesKeyOf(declaredInputs) : shapesKeyOf(inputShapes)
  const specs = new Map(
    [...inputs, ...layers.flatMap((layer) => layer.outputs)].map((spec) => [spec.name, spec]),
  )
  const structure = Structure.parse({
    model: id,
    shapesKey,
    inputShapes,
    ...(open && { open }),
    inputs,
    outputs: outputNames.map((name) => specs.get(name)),
    layers: layers.map((layer, index) => ({
      index,
      name: layer.name,
      op: 'Toy',
      inputs: layer.inputs,
      outputs: layer.outputs,
      weightBytes: 0,
      macs: null,
    })),
    boundaries: Array.from({ length: layers.length + 1 }, (_, k) => boundary(k, inputs, layers, outputNames)),
    weightBytes: 0,
  })
  const model = Model.parse({
    id,
    version: 1,
    bytes: 1,
    files: [{ path: 'model.onnx', bytes: 1, sha256: id }],
    irVersion: 8,
    opsets: { '': 17 },
    producer: 'test',
    inputs: declaredInputs,
    outputs: structure.outputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: shape.map((dim) => (dim < 0 ? 'n' : dim)),
    })),
    inputShapes: open ? null : inputShapes,
    shapesKey: open ? null : shapesKey,
    createdAt: new Date().toISOString(),
    ...changes,
  })
  return { model, structure, layers }
}

function boundary(k: number, inputs: TensorSpec[], layers: ToyLayer[], outputs: string[]) {
  const made = [...inputs, ...layers.slice(0, k).flatMap((layer) => layer.outputs)].map((spec) => spec.name)
  const needed = new Set([...layers.slice(k).flatMap((layer) => layer.inputs), ...outputs])
  const tensors = made.filter((name) => needed.has(name))
  return { k, tensors, bytes: 0, single: tensors.length === 1, clean: true, allowed: true }
}

export async function register(state: State, ...models: ToyModel[]): Promise<void> {
  for (const { model, structure } of models) {
    await state.structures.put(structureId(structure.model, structure.shapesKey), structure)
    await state.models.put(model.id, model)
  }
}

export interface ToyEngine extends Engine {
  /** Ranges that are loaded, `name:from-to`. */
  loaded: () => string[]
  /** Runs begun so far, with their inputs, and whether each of those came in a buffer of just its size. */
  runs: { range: string; inputs: Tensor[]; ownMemory: boolean; aborted: boolean }[]
  /** Makes the next load of a model fail. */
  failLoads: Map<string, string>
  /** Keeps all loads that begin from now on waiting (for their own signal too), until the function it returns is called. */
  holdLoads: () => () => void
  /** Loads that are kept waiting. */
  heldLoads: () => number
  /** Time a run takes. */
  runMs: number
  /** Keeps all runs that begin from now on waiting, until the function it returns is called. */
  hold: () => () => void
}

export function toyEngine(models: readonly ToyModel[]): ToyEngine {
  const stages = new Map<string, number>()
  const runs = gate()
  const loads = gate()
  const find = (id: string) => {
    const found = models.find((toy) => toy.model.id === id)
    if (!found) throw new ScissionError('notFound', `no toy ${id}`)
    return found
  }
  const nameOf = (key: RangeKey) => `${find(key.model).model.name}:${key.from}-${key.to}`
  const engine: ToyEngine = {
    runs: [],
    failLoads: new Map(),
    runMs: 0,
    hold: runs.close,
    holdLoads: loads.close,
    heldLoads: loads.waiting,
    loaded: () => [...stages].filter(([, count]) => count > 0).map(([name]) => name),
    loader: {
      acquire: async (key, signal) => {
        await Promise.race([loads.opened(), ...(signal ? [aborted(signal)] : [])])
        if (signal?.aborted) throw new ScissionError('cancelled', 'nobody waits for it any more')
        const reason = engine.failLoads.get(key.model)
        if (reason !== undefined) throw new ScissionError('invalidModel', reason)
        stages.set(nameOf(key), (stages.get(nameOf(key)) ?? 0) + 1)
        return stageOf(find(key.model), key)
      },
      release: async ({ manifest }) => {
        const name = nameOf(manifest)
        stages.set(name, (stages.get(name) ?? 0) - 1)
      },
    },
    executor: {
      run: async (stage, inputs, options) => {
        // As the real executor does.
        checkInputs(stage.manifest, inputs)
        const ownMemory = inputs.every(({ bytes }) => bytes.byteLength === bytes.buffer.byteLength)
        const record = { range: stage.key, inputs: [...inputs], ownMemory, aborted: false }
        engine.runs.push(record)
        await runs.opened()
        if (engine.runMs > 0) {
          await sleep(engine.runMs, undefined, { signal: options?.signal }).catch(() => {
            record.aborted = true
            throw new ScissionError('cancelled', 'the request was cancelled')
          })
        }
        return runToy(find(stage.manifest.model), stage.manifest, inputs)
      },
      stats: () => ({ threads: [], processes: [], stages: [] }),
      heldUpMs: () => 0,
      hung: false,
      leave: () => undefined,
      close: async () => undefined,
    },
    store: {
      open: () => Promise.reject(new ScissionError('internal', 'toys have no files')),
    },
    incompleteRanges: () => 0,
    profile: () => Promise.reject(new ScissionError('internal', 'toys are not profiled')),
  }
  return engine
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))

function stageOf({ model, structure }: ToyModel, key: RangeKey): LoadedStage {
  const manifest: RangeManifest = {
    ...key,
    model: ModelId.parse(key.model),
    shapesKey: ShapesKey.parse(key.shapesKey),
    inputs: boundarySpecs(structure, key.from),
    outputs: boundarySpecs(structure, key.to),
    passThrough: [],
    onnx: null,
    weights: [],
  }
  const options = { threads: 1, optimisation: 'all' as const }
  return { key: `${model.name}:${key.from}-${key.to}`, path: null, manifest, options }
}

function boundarySpecs(structure: Structure, k: number): TensorSpec[] {
  const all = [...structure.inputs, ...structure.layers.flatMap((layer) => layer.outputs)]
  return (structure.boundaries[k]?.tensors ?? []).flatMap(
    (name) => all.find((spec) => spec.name === name) ?? [],
  )
}

function runToy({ layers }: ToyModel, manifest: RangeManifest, inputs: readonly Tensor[]): RunResult {
  const made = new Map(inputs.map((tensor) => [tensor.name, tensor]))
  for (const layer of layers.slice(manifest.from, manifest.to)) {
    const taken = layer.inputs.flatMap((name) => made.get(name) ?? [])
    for (const tensor of layer.run(taken)) made.set(tensor.name, tensor)
  }
  const outputs = manifest.outputs.flatMap((spec) => made.get(spec.name) ?? [])
  return { outputs, computeMs: 1, cpuMs: 1, queueMs: 0.5, waitedMs: 0 }
}
