/** The requests that share a run, by an executor whose runs end when the test says so: y = 2x; the item -1 fails. */
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { type BatchSettings, BatchQueue } from '../../../services/inference/serving/batching/stage-queue.ts'
import type {
  LoadedStage,
  RunOptions,
  RunResult,
} from '../../../services/inference/serving/executor/executor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { floats, fp32, manifestOf, spec } from '../tiny-models.ts'

interface Begun {
  stage: string
  values: number[]
  options: RunOptions
  end: () => void
}

let begun: Begun[] = []
let wanted = 0
let sizes: number[] = []

function stageOf(key: string): LoadedStage {
  const manifest = manifestOf({ inputs: [spec('x', 'FP32', [1])], outputs: [spec('y', 'FP32', [1])] })
  return { key, path: `${key}.onnx`, manifest, options: { threads: 1, optimisation: 'all' } }
}

const run = (stage: LoadedStage, inputs: readonly Tensor[], options: RunOptions = {}) =>
  new Promise<RunResult>((resolve, reject) => {
    const values = floats(inputs[0])
    const end = () => {
      if (values.includes(-1)) return reject(new ScissionError('internal', 'ONNX Runtime failed: -1'))
      const outputs = [
        fp32(
          'y',
          [values.length],
          values.map((value) => 2 * value),
        ),
      ]
      return resolve({ outputs, computeMs: 1, cpuMs: 1, queueMs: 0, waitedMs: 0 })
    }
    begun.push({ stage: stage.key, values, options, end })
  })

function queueWith(settings: Partial<BatchSettings> = {}): BatchQueue {
  const atMost = (items: number) => {
    const size = sizes.findLast((one) => one <= items)
    return size === undefined ? undefined : { size, stage: stageOf(`of ${size}`) }
  }
  return new BatchQueue({
    stage: stageOf('one'),
    executor: { run },
    batches: { atMost, want: () => (wanted += 1) },
    settings: { maxBatch: 8, batchDelayMs: 0, executors: 1, queueLimit: 64, ...settings },
  })
}

const ask = async (queue: BatchQueue, value: number, options: RunOptions = {}) => {
  const result = await queue.run([fp32('x', [1], [value])], options)
  return { values: floats(result.outputs[0]), batch: result.batch, result }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))
/** Ends all runs, also those that begin when others end. */
async function endAll(): Promise<void> {
  await turn()
  for (let ended = 0; ended < begun.length; ended += 1) {
    begun[ended]?.end()
    await turn()
  }
}
const failure = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as ScissionError,
  )

beforeEach(() => {
  begun = []
  wanted = 0
  sizes = [2, 4, 8]
})

describe('requests for one stage', () => {
  it('that meet no other run alone and at once', async () => {
    const queue = queueWith()
    const answer = ask(queue, 3)
    await turn()
    expect(begun.map(({ stage, values }) => [stage, values])).toEqual([['one', [3]]])
    await endAll()
    expect(await answer).toMatchObject({ values: [6], batch: undefined })
  })

  it('that wait for the same run go together in the next, each with its own answer', async () => {
    const queue = queueWith()
    const first = ask(queue, 0)
    await turn()
    const waiting = [1, 2, 3, 4, 5].map((value) => ask(queue, value))
    await turn()
    expect(begun).toHaveLength(1)
    await endAll()
    expect((await first).values).toEqual([0])
    expect((await Promise.all(waiting)).map(({ values }) => values)).toEqual([[2], [4], [6], [8], [10]])
    expect(begun.map(({ stage, values }) => [stage, values])).toEqual([
      ['one', [0]],
      ['of 4', [1, 2, 3, 4]],
      ['one', [5]],
    ])
    const [a, b] = await Promise.all(waiting)
    expect(a?.batch).toEqual({ size: 4 })
    expect(a?.batch).toBe(b?.batch)
  })

  it('own the bytes of their answers: what becomes of one leaves the others alone', async () => {
    const queue = queueWith()
    const answers = [1, 2].map((value) => ask(queue, value))
    await turn()
    await endAll()
    const [a, b] = await Promise.all(answers)
    structuredClone(a?.result.outputs[0]?.bytes.buffer, {
      transfer: [a?.result.outputs[0]?.bytes.buffer as ArrayBuffer],
    })
    expect(a?.result.outputs[0]?.bytes.byteLength).toBe(0)
    expect(floats(b?.result.outputs[0])).toEqual([4])
  })

  it('ask for sessions for several when several wait, and run alone until they are there', async () => {
    sizes = []
    const queue = queueWith()
    const answers = [1, 2, 3].map((value) => ask(queue, value))
    await turn()
    expect(wanted).toBeGreaterThan(0)
    await endAll()
    expect((await Promise.all(answers)).map(({ values }) => values)).toEqual([[2], [4], [6]])
    expect(begun.map(({ stage }) => stage)).toEqual(['one', 'one', 'one'])
  })

  it('are run again one by one when their batch fails: a wrong one fails alone', async () => {
    const queue = queueWith()
    const answers = [1, -1, 3, 4].map((value) => failure(ask(queue, value)).then((error) => error?.message))
    await turn()
    await endAll()
    expect(await Promise.all(answers)).toEqual([undefined, 'ONNX Runtime failed: -1', undefined, undefined])
    expect(begun.map(({ values }) => values)).toEqual([[1, -1, 3, 4], [1], [-1], [3], [4]])
  })

  it('that are given up while they wait are never computed', async () => {
    const queue = queueWith()
    const first = ask(queue, 0)
    await turn()
    const leaving = new AbortController()
    const gone = failure(ask(queue, 1, { signal: leaving.signal }))
    const late = failure(ask(queue, 2, { deadline: performance.now() }))
    const stays = ask(queue, 3)
    leaving.abort()
    expect((await gone)?.code).toBe('cancelled')
    expect((await late)?.code).toBe('deadlineExceeded')
    await endAll()
    await first
    expect((await stays).values).toEqual([6])
    expect(begun.map(({ values }) => values)).toEqual([[0], [3]])
  })

  it('that are given up in a batch leave it running for the others, and the last one stops it', async () => {
    const queue = queueWith()
    const leaving = [new AbortController(), new AbortController()]
    const answers = leaving.map(({ signal }, value) => failure(ask(queue, value, { signal })))
    await turn()
    leaving[0]?.abort()
    expect((await answers[0])?.code).toBe('cancelled')
    expect(begun[0]?.options.signal?.aborted).toBe(false)
    leaving[1]?.abort()
    expect((await answers[1])?.code).toBe('cancelled')
    expect(begun[0]?.options.signal?.aborted).toBe(true)
    await endAll()
    expect(begun).toHaveLength(1)
  })

  it('beyond the bound are refused', async () => {
    const queue = queueWith({ queueLimit: 2 })
    const first = ask(queue, 0)
    await turn()
    const waiting = [ask(queue, 1), ask(queue, 2)]
    const refused = await failure(ask(queue, 3))
    expect(refused?.code).toBe('overloaded')
    await endAll()
    await Promise.all([first, ...waiting])
  })

  it('of several clients have places in a run in turn, and a client that has most of the queue gives some back', async () => {
    const queue = queueWith({ queueLimit: 4 })
    sizes = [2]
    const first = ask(queue, 0, { client: 'many' })
    await turn()
    const more = [1, 2, 3, 4].map((value) => failure(ask(queue, value, { client: 'many' })))
    const few = [5, 6].map((value) => ask(queue, value, { client: 'few' }))
    expect(await Promise.all(more.slice(2))).toMatchObject([
      { code: 'tooManyRequests' },
      { code: 'tooManyRequests' },
    ])
    await endAll()
    await Promise.all([first, ...few])
    expect(begun.map(({ values }) => values)).toEqual([[0], [5, 1], [6, 2]])
    expect(begun.map(({ options }) => options.client)).toEqual(['many', 'few', 'few'])
  })

  it('wait for company where they are told to, and no longer once there is enough', async () => {
    const queue = queueWith({ maxBatch: 4, batchDelayMs: 600_000 })
    const answers = [1, 2, 3].map((value) => ask(queue, value))
    await turn()
    expect(begun).toHaveLength(0)
    answers.push(ask(queue, 4))
    await turn()
    expect(begun.map(({ values }) => values)).toEqual([[1, 2, 3, 4]])
    await endAll()
    await Promise.all(answers)
  })

  it('are run when the wait is over, however few', async () => {
    const queue = queueWith({ batchDelayMs: 5 })
    const answer = ask(queue, 1)
    while (begun.length === 0) await turn()
    await endAll()
    expect((await answer).values).toEqual([2])
  })

  it('are all answered, each its own, in whatever order they come, fail and leave', async () => {
    const request = fc.record({
      value: fc.integer({ min: -1, max: 1000 }),
      leaves: fc.boolean(),
      turns: fc.nat(2),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { maxLength: 30 }),
        fc.integer({ min: 1, max: 3 }),
        async (requests, executors) => {
          begun = []
          const queue = queueWith({ executors })
          const answers = []
          for (const { value, leaves, turns } of requests) {
            const leaving = new AbortController()
            answers.push(
              ask(queue, value, { signal: leaving.signal }).then(
                ({ values }) => ({ value, leaves, values }),
                ({ code }: ScissionError) => ({ value, leaves, code }),
              ),
            )
            for (let count = 0; count < turns; count += 1) await turn()
            if (leaves) leaving.abort()
            if (turns === 2) begun.at(-1)?.end()
          }
          await endAll()
          for (const answer of await Promise.all(answers)) {
            if ('values' in answer) expect(answer.values).toEqual([2 * answer.value])
            else if (answer.code === 'internal') expect(answer.value).toBe(-1)
            else expect([answer.code, answer.leaves]).toEqual(['cancelled', true])
          }
        },
      ),
      { numRuns: 100 },
    )
  })
})
