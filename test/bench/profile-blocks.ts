/** The original's method as the baseline: every block between single-tensor cuts on its own, ten repeats, their mean. */
import { runInLimitedChild } from '../../shared/limited-child.ts'
import type { BenchModel } from './profile-models.ts'
import type { Blocks, BlocksInput } from './profile-blocks-child.ts'

export interface TimedBlocks extends Blocks {
  /** Process start and session creation included. */
  tookMs: number
}

export async function timeBlocks({ whole, structure, name }: BenchModel): Promise<TimedBlocks> {
  const before = performance.now()
  const blocks = await runInLimitedChild<BlocksInput, Blocks>({
    module: new URL('./profile-blocks-child.ts', import.meta.url),
    input: { path: whole, structure },
    timeoutMs: 300_000,
    memoryLimitBytes: 2 ** 34,
    doing: `timing the blocks of ${name}`,
  })
  return { ...blocks, tookMs: performance.now() - before }
}
