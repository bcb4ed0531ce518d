/** Runs in a child of its own for many.ts: an input may end its process, or keep it busy for ever. */
import { runTarget, told } from './run.ts'
import { TARGETS } from './targets.ts'

export interface JobInput {
  target: string
  seed: number
  count: number
}

export interface JobOutput {
  inputs: number
  tookMs: number
  slowestMs: number
  grownBytes: number
  broken: { seed: number | undefined; told: string }[]
}

/** @param report is told the seed of inputs, about as often as something can be sent. */
export async function run(
  { target: name, seed, count }: JobInput,
  report: (seed: number) => void,
): Promise<JobOutput> {
  const target = TARGETS.find((one) => one.name === name)
  if (!target)
    throw new Error(`there is no target ${name}; there are ${TARGETS.map((one) => one.name).join(', ')}`)
  const { broken, ...ran } = await runTarget(target, { seed, count, onInput: report })
  return { ...ran, broken: broken.map((one) => ({ seed: one.seed, told: told(one) })) }
}
