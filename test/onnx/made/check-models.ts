/** Checks many made models in child processes. A model at which a child ends is told, and the next child goes on behind it. */
import pLimit from 'p-limit'
import { coerceError } from '../../../shared/platform/errors.ts'
import { runInLimitedChild } from '../../../shared/platform/processes/limited-child.ts'
import type { CheckInput, CheckProgress } from './check-job.ts'
import type { Outcome, Stage } from './check-model.ts'
import { makeModel } from './make-model.ts'

export interface CheckOptions {
  /** Of the first model; the others follow. */
  seed: number
  count: number
  /** Processes at a time. */
  processes: number
  onOutcome?: (outcome: Outcome) => void
}

/** Models that one process checks. */
const BATCH = 25
/** Of one process; a model takes a tenth to some seconds. */
const TIMEOUT_MS = 600_000
const MEMORY_BYTES = 4e9

/** @returns what each model showed, in the order of their seeds. */
export async function checkMadeModels({
  seed,
  count,
  processes,
  onOutcome,
}: CheckOptions): Promise<Outcome[]> {
  const seeds = Array.from({ length: count }, (_, index) => seed + index)
  const batches = Array.from({ length: Math.ceil(count / BATCH) }, (_, index) =>
    seeds.slice(index * BATCH, (index + 1) * BATCH),
  )
  const limit = pLimit(processes)
  const outcomes: Outcome[] = []
  const take = (outcome: Outcome) => {
    outcomes.push(outcome)
    onOutcome?.(outcome)
  }
  await Promise.all(batches.map((batch) => limit(() => checkBatch(batch, take))))
  return outcomes.sort((a, b) => a.seed - b.seed)
}

async function checkBatch(seeds: readonly number[], take: (outcome: Outcome) => void): Promise<void> {
  let left = [...seeds]
  while (left.length > 0) {
    let at: { seed: number; stage: Stage } | undefined
    const onProgress = (progress: CheckProgress) => {
      if ('stage' in progress) {
        at = progress
        return
      }
      left = left.filter((one) => one !== progress.seed)
      take(progress)
    }
    try {
      await runInLimitedChild<CheckInput, undefined, CheckProgress>({
        module: new URL('./check-job.ts', import.meta.url),
        input: { seeds: left },
        timeoutMs: TIMEOUT_MS,
        memoryLimitBytes: MEMORY_BYTES,
        doing: 'checking made models',
        onProgress,
      })
    } catch (thrown) {
      const { seed = left[0]!, stage = 'product' } = at ?? {}
      left = left.filter((one) => one !== seed)
      take(ended(seed, stage, coerceError(thrown).message))
    }
  }
}

/** At the reference it is ONNX Runtime alone that ran: the model does not count. */
function ended(seed: number, stage: Stage, why: string): Outcome {
  const cuts = { allowed: 0, clean: 0, bitIdentical: 0, cleanBitIdentical: 0, optimisedApart: 0 }
  const about = { seed, pieces: makeModel(seed).pieces, layers: 0, cuts }
  return stage === 'reference'
    ? { ...about, setAside: { by: 'refused', why }, faults: [] }
    : { ...about, faults: [{ where: 'crash', why }] }
}
