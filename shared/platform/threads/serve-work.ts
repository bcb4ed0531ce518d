/** The worker's side of work-thread.ts. */
import { parentPort, type TransferListItem } from 'node:worker_threads'
import { toScissionError } from '../http-server/error-answers.ts'
import type { WorkReport } from './work-thread.ts'

/**
 * Performs one piece of work after another: the next one comes when this one is done. An error of `perform` reaches the caller with its code, message and details.
 * @param moved lists the buffers of a result that are moved instead of copied.
 * @throws Error outside a worker thread.
 */
export function serveWork<Work, Result>(
  perform: (work: Work) => Result | Promise<Result>,
  moved: (result: Result, work: Work) => TransferListItem[] = () => [],
): void {
  const port = parentPort
  if (port === null) throw new Error('this module runs as a worker thread')
  const serve = async (work: Work): Promise<void> => {
    try {
      const result = await perform(work)
      port.postMessage({ result } satisfies WorkReport<Result>, moved(result, work))
    } catch (thrown) {
      const { code, message, details } = toScissionError(thrown)
      port.postMessage({ failure: { code, message, details } } satisfies WorkReport<Result>)
    }
  }
  port.on('message', (work: Work) => void serve(work))
}
