/** A worker in a process of its own that takes one job and never finishes it: to be killed. argv: Redis URL, queue. */
import { type Job, Worker } from 'bullmq'
import { dieWithParent, reportReady } from '../../../infra/start/processes/die-with-parent.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import { QUICK_RECOVERY } from '../quick-recovery.ts'
import { withErrorHandler, workerOptions } from '../../../shared/platform/redis/queues.ts'

dieWithParent()
const [url = '', queue = ''] = process.argv.slice(2)
const hang = async (job: Job) => {
  process.send?.({ took: job.id })
  await new Promise(() => undefined)
}
const worker = new Worker(queue, hang, { ...workerOptions(workerConnection(url)), ...QUICK_RECOVERY })
withErrorHandler(worker, queue)
await worker.waitUntilReady()
reportReady(url)
