/** Times the blocks of a model one by one, in a process of its own (shared/platform/processes/limited-child.ts). */
import { CutModel } from '../../services/inference/jobs/profiler/cut-model.ts'
import { Runner } from '../../services/inference/jobs/profiler/timed-runs.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { toOrt } from '../../shared/onnx/runtime/ort-tensor.ts'

export interface BlocksInput {
  path: string
  structure: Structure
}

export interface Blocks {
  blocks: { from: number; to: number; ms: number }[]
  /** Creation of the sessions included, the start of the process not: see `timeStart`. */
  tookMs: number
}

const REPEATS = 10
const SEED = 1
const OPTIONS = { threads: 1, optimisation: 'all' } as const

export async function run({ path, structure }: BlocksInput): Promise<Blocks> {
  const before = performance.now()
  const model = await CutModel.open(path, structure)
  const runner = new Runner(OPTIONS.threads)
  const specs = new Map(
    [...structure.inputs, ...structure.layers.flatMap(({ outputs }) => outputs)].map((spec) => [
      spec.name,
      spec,
    ]),
  )
  const last = structure.layers.length
  const cuts = structure.boundaries.filter(({ k, single, allowed }) => k > 0 && k < last && single && allowed)
  const ends = [0, ...cuts.map(({ k }) => k), last]
  const blocks: Blocks['blocks'] = []
  for (const [at, to] of ends.slice(1).entries()) {
    const from = ends[at] ?? 0
    const session = await model.session(from, to, OPTIONS)
    const wanted = session.inputNames.flatMap((name) => specs.get(name) ?? [])
    const inputs = makeInputs(wanted, SEED, structure.inputHints)
    const feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]))
    let sum = 0
    await runner.run(session, feeds, 0)
    for (let repeat = 0; repeat < REPEATS; repeat++) sum += runner.figure(await runner.run(session, feeds, 0))
    await session.release()
    blocks.push({ from, to, ms: sum / REPEATS })
  }
  return { blocks, tookMs: performance.now() - before }
}
