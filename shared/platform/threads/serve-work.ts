/** The thread's side of work-thread.ts. */
import { parentPort, type TransferListItem } from 'node:worker_threads'
import { toScissionError } from '../http-server/error-answers.ts'
import type { WorkMessage, WorkReport } from './work-thread.ts'

/**
 * Does one piece of work after another, for as long as the thread lives. What `perform` throws crosses as code, message
 * and details.
 * @param moved what goes back with a result instead of being copied.
 */
export function serveWork<Work, Result>(
  perform: (work: Work) => Result,
  moved: (result: Result, work: Work) => TransferListItem[] = () => [],
): void {
  const port = parentPort
  if (port === null) throw new Error('this module runs as a worker thread')
  port.on('message', ({ id, work }: WorkMessage<Work>) => {
    try {
      const result = perform(work)
      port.postMessage({ id, result } satisfies WorkReport<Result>, moved(result, work))
    } catch (thrown) {
      const { code, message, details } = toScissionError(thrown)
      port.postMessage({ id, failure: { code, message, details } } satisfies WorkReport<Result>)
    }
  })
}
