/** An inference service's worker that takes a job and never ends it: to be killed. argv: Redis URL, resource. */
import { type Job, Worker } from 'bullmq'
import { dieWithParent, reportReady } from '../../../../infra/start/processes/die-with-parent.ts'
import { resourceQueue, withErrorHandler, workerOptions } from '../../../../shared/platform/redis/queues.ts'
import { workerConnection } from '../../../../shared/platform/redis/connections.ts'

dieWithParent()
const [url = '', resource = ''] = process.argv.slice(2)
const queue = resourceQueue(resource)
const hang = async (job: Job) => {
  process.send?.({ took: job.id })
  await new Promise(() => undefined)
}
const worker = withErrorHandler(new Worker(queue, hang, workerOptions(workerConnection(url))), queue)
await worker.waitUntilReady()
reportReady(url)
