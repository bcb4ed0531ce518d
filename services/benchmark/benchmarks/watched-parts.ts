/** The parts of benchmarks for the watch over jobs (job-watch.ts). */
import type { WatchedJob } from '../job-watch.ts'
import { type BenchmarkQueues, childId } from './benchmark-queues.ts'
import { isUnderWay, parentJobs, viewOf } from './benchmark-view.ts'
import { endPart } from './end-benchmark.ts'

/** All that are under way. */
export async function watchedParts(queues: BenchmarkQueues): Promise<WatchedJob[]> {
  const watched: WatchedJob[] = []
  for (const job of await parentJobs(queues, ['waiting-children'])) {
    const { id, parts } = await viewOf(queues, job)
    for (const { resource, state } of parts.filter((part) => isUnderWay(part.state)))
      watched.push({
        id: childId(id, resource),
        resource,
        state,
        of: `benchmark ${id}`,
        end: (reason) => endPart(queues, id, resource, reason),
      })
  }
  return watched
}
