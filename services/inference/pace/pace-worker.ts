/** Entry of the thread that runs the reference network: one piece of work is one sample. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { openReference, type ReferenceTime } from './reference-runs.ts'

let opened: ReturnType<typeof openReference> | undefined

serveWork(async ({ threads }: { threads: number }): Promise<ReferenceTime> => {
  const reference = await (opened ??= openReference(threads))
  return reference.sample()
})
