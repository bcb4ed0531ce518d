/** Runs a canonical model in pieces, one session after another, as machines would. Only for models that were checked. */
import type { Tensor } from '../../contracts/tensor.ts'
import { withWorkFile } from '../canonical/work-files.ts'
import { fromRuntime, openSession, type SessionSettings, toRuntime } from '../runtime/analysis-session.ts'
import { encodeRange } from './encode-range.ts'
import type { CanonicalModel } from './write-range.ts'

export type Tensors = ReadonlyMap<string, Tensor>

/** Optimised as inference services do by default. */
export const SERVED: SessionSettings = { level: 'all', packs: true }

/**
 * Runs the uncut model twice, in one session.
 * @returns the outputs of both runs. @throws ONNX Runtime's error.
 */
export async function runWhole(model: CanonicalModel, inputs: Tensors): Promise<[Tensors, Tensors]> {
  const { content } = encodeRange(model, 0, model.structure.layers.length)
  const runs = await withWorkFile(model.dir, content, (file) => runFile(file, inputs, SERVED, 2))
  return [runs[0] ?? new Map(), runs[1] ?? new Map()]
}

/**
 * @param cuts boundaries between 0 and the number of layers, ascending.
 * @returns the model's outputs. @throws ONNX Runtime's error.
 */
export async function runPieces(
  model: CanonicalModel,
  cuts: readonly number[],
  inputs: Tensors,
): Promise<Tensors> {
  const bounds = [0, ...cuts, model.structure.layers.length]
  let have = inputs
  for (const [index, to] of bounds.slice(1).entries()) {
    const made = await runRange(model, bounds[index] ?? 0, to, have)
    const crossing = model.structure.boundaries[to]?.tensors ?? []
    have = new Map(
      crossing.flatMap((name) => {
        const tensor = made.get(name) ?? have.get(name)
        return tensor ? [[name, tensor] as const] : []
      }),
    )
  }
  return have
}

async function runRange(model: CanonicalModel, from: number, to: number, have: Tensors): Promise<Tensors> {
  const { content, outputs } = encodeRange(model, from, to)
  if (outputs.length === 0) return new Map()
  return withWorkFile(model.dir, content, async (file) => (await runFile(file, have, SERVED))[0] ?? new Map())
}

/**
 * Runs a file on the tensors that it asks for by name.
 * @param times how often, in one session. @returns its outputs, for each run. @throws ONNX Runtime's error.
 */
export async function runFile(
  file: string,
  have: Tensors,
  settings: SessionSettings,
  times = 1,
): Promise<Tensors[]> {
  const session = await openSession(file, settings)
  try {
    const feeds = session.inputNames.flatMap((name) => {
      const tensor = have.get(name)
      return tensor ? [[name, toRuntime(tensor)] as const] : []
    })
    const runs: Tensors[] = []
    for (let run = 0; run < times; run++) {
      const results = await session.run(Object.fromEntries(feeds))
      runs.push(new Map(Object.entries(results).map(([name, value]) => [name, fromRuntime(name, value)])))
    }
    return runs
  } finally {
    await session.release()
  }
}
