/** The original's method as the baseline: every block between single-tensor cuts on its own, ten repeats, their mean. */
import { profileModel } from '../../services/inference/jobs/profiler/profile-model.ts'
import { runInLimitedChild } from '../../shared/platform/processes/limited-child.ts'
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

/**
 * Wall time of starting a process for a measurement: the profiler's own, which finds no model and ends. It
 * is added to the baseline, whose process is started through a loader that a product would not need.
 */
export async function timeStart(structure: BenchModel['structure']): Promise<number> {
  const before = performance.now()
  const options = { threads: 1, optimisation: 'all' } as const
  await profileModel({ path: '/nowhere.onnx', structure, options }).then(
    () => {
      throw new Error('profiled a model that is not there')
    },
    () => undefined,
  )
  return performance.now() - before
}
