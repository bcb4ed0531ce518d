/** Entry of the thread that runs the reference network: one piece of work is one sample. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import type { PaceWork } from './pace-sampler.ts'
import { openReference, type ReferenceTime } from './reference-runs.ts'

let opened: ReturnType<typeof openReference> | undefined

serveWork(async ({ threads, file, leastMs }: PaceWork): Promise<ReferenceTime> => {
  const reference = await (opened ??= openReference(threads, file))
  return reference.sample(leastMs)
})
