/** The original's method as the baseline: every block between single-tensor cuts on its own, ten repeats, their mean. */
import { runInLimitedChild } from '../../shared/limited-child.ts'
import type { BenchModel } from './profile-models.ts'
import type { Blocks, BlocksInput } from './profile-blocks-job.ts'

export function timeBlocks({ whole, structure, name }: BenchModel): Promise<Blocks> {
  return runInLimitedChild<BlocksInput, Blocks>({
    module: new URL('./profile-blocks-job.ts', import.meta.url),
    input: { path: whole, structure },
    timeoutMs: 300_000,
    memoryLimitBytes: 2 ** 34,
    doing: `timing the blocks of ${name}`,
  })
}
