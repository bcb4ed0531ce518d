/** Jobs for the tests of limited-child.ts: one module, told by its input what to do. */
import { ScissionError } from '../../../shared/platform/errors.ts'
import { threadPriorities } from '../../support/thread-priorities.ts'

export type Job =
  | { do: 'echo'; value: unknown }
  | { do: 'progress'; count: number }
  | { do: 'priorities' }
  | { do: 'refuse' }
  | { do: 'throw' }
  | { do: 'hang' }
  | { do: 'block' }
  | { do: 'eat' }
  | { do: 'die'; signal: NodeJS.Signals }
  | { do: 'exit'; code: number }

export async function run(job: Job, report: (progress: unknown) => void): Promise<unknown> {
  if (job.do === 'echo') return job.value
  if (job.do === 'priorities') return threadPriorities()
  if (job.do === 'progress') {
    for (let i = 1; i <= job.count; i++) report({ fraction: i / job.count })
    return 'done'
  }
  if (job.do === 'refuse')
    throw new ScissionError('needsInputShapes', 'give shapes', { dims: [{ input: 'x', axis: 0 }] })
  if (job.do === 'throw') throw new TypeError('a bug')
  if (job.do === 'block') block()
  if (job.do === 'eat') await eat()
  if (job.do === 'die') process.kill(process.pid, job.signal)
  if (job.do === 'exit') {
    process.stderr.write('some last words\n')
    process.exit(job.code)
  }
  return new Promise(() => setInterval(() => {}, 1000))
}

function block(): never {
  for (;;) Math.random()
}

async function eat(): Promise<never> {
  const eaten: Uint8Array[] = []
  for (;;) {
    eaten.push(new Uint8Array(8 * 1024 * 1024).fill(eaten.length))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
