/** Stages that several callers share, and runs that wait, are given up or fail. */
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { encodeStrings } from '../../../shared/onnx/runtime/ort-strings.ts'
import type { Datatype } from '../../../shared/contracts/common.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { floats, fp32, manifestOf, spec } from '../tiny-models.ts'
import { useExecutor } from './executor-of-tiny-models.ts'
import { doubling, matrix, slow, three } from './tiny-model-examples.ts'

const options = { threads: 1, optimisation: 'all' } as const
const used = useExecutor()
const { loadModel, start } = used

describe('sharing', () => {
  it('keeps one session for a stage that is loaded twice, until it was unloaded twice', async () => {
    start()
    const first = await loadModel(doubling)
    const second = await used.executor.load(first.key, first)
    expect(second).toBe(first)
    expect(used.executor.stats().stages).toEqual([{ key: first.key, references: 2, threads: 1 }])
    await used.executor.unload(first)
    expect(floats((await used.executor.run(first, [three()])).outputs[0])).toEqual([2, 4, 6])
    await used.executor.unload(first)
    await expect(used.executor.run(first, [three()])).rejects.toMatchObject({ code: 'notReady' })
    expect(used.executor.stats()).toMatchObject({ stages: [], threads: [{ stages: 0 }] })
  })

  it('finishes queued runs before an unload takes effect', async () => {
    start()
    const stage = await loadModel(doubling)
    const runs = [1, 2, 3].map(() => used.executor.run(stage, [three()]))
    await used.executor.unload(stage)
    for (const { outputs } of await Promise.all(runs)) expect(floats(outputs[0])).toEqual([2, 4, 6])
  })

  it('uses a second thread when two requests meet, and not before', async () => {
    start({ executors: 2 })
    const stage = await loadModel(slow)
    await used.executor.run(stage, [matrix()])
    await used.executor.run(stage, [matrix()])
    expect(used.executor.stats().stages[0]?.threads).toBe(1)
    await Promise.all([used.executor.run(stage, [matrix()]), used.executor.run(stage, [matrix()])])
    expect(used.executor.stats().stages[0]?.threads).toBe(2)
  })

  it('computes many requests at once, each with its own answer', async () => {
    start({ executors: 2 })
    const stage = await loadModel(doubling)
    const answers = await Promise.all(
      [...Array(60).keys()].map((index) => used.executor.run(stage, [fp32('x', [3], [index, 0, 0])])),
    )
    expect(answers.map(({ outputs }) => floats(outputs[0])[0])).toEqual(
      [...Array(60).keys()].map((index) => 2 * index),
    )
  })
})

describe('the queue', () => {
  it('refuses what does not fit', async () => {
    start({ queueLimit: 2 })
    const stage = await loadModel(slow)
    const runs = [1, 2, 3, 4, 5].map(() => used.executor.run(stage, [matrix()]))
    const states = (await Promise.allSettled(runs)).map((run) =>
      run.status === 'fulfilled' ? 'done' : (run.reason as { code: string }).code,
    )
    expect(states).toEqual(['done', 'done', 'done', 'overloaded', 'overloaded'])
  })

  it('drops queued requests whose callers have gone, and leaves the tensors of those not yet sent alone', async () => {
    // Each would take more than a second: whatever else holds this machine up is short against that.
    start({ slowdown: 60 })
    const stage = await loadModel(slow)
    const caller = new AbortController()
    const input = matrix()
    const first = used.executor.run(stage, [matrix()])
    const sent = used.executor.run(stage, [matrix()], { signal: caller.signal })
    const queued = used.executor.run(stage, [input], { signal: caller.signal })
    const last = used.executor.run(stage, [matrix()])
    caller.abort()
    await expect(sent).rejects.toMatchObject({ code: 'cancelled' })
    await expect(queued).rejects.toMatchObject({ code: 'cancelled' })
    const [{ computeMs, waitedMs }, { queueMs }] = await Promise.all([first, last])
    expect(input.bytes.byteLength).toBe(matrix().bytes.byteLength)
    // Neither was computed: the last one began when the first had ended.
    expect(queueMs).toBeLessThan(2 * (computeMs + waitedMs))
    await expect(used.executor.run(stage, [matrix()], { signal: caller.signal })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })

  it('answers at the deadline, whether the request waits or computes', async () => {
    start({ slowdown: 50 })
    const stage = await loadModel(slow)
    const deadline = performance.now() + 40
    const runs = [1, 2].map(() => used.executor.run(stage, [matrix()], { deadline }))
    await Promise.all(runs.map((run) => expect(run).rejects.toMatchObject({ code: 'deadlineExceeded' })))
    await expect(
      used.executor.run(stage, [matrix()], { deadline: performance.now() - 1 }),
    ).rejects.toMatchObject({
      code: 'deadlineExceeded',
    })
  })

  it('lets the computation under way finish when the executor closes, and refuses the rest', async () => {
    start()
    const stage = await loadModel(slow)
    const runs = [1, 2].map(() => used.executor.run(stage, [matrix()]))
    await Promise.all([
      used.executor.close(),
      expect(runs[0]).resolves.toMatchObject({ outputs: [{ name: 'm16' }] }),
      expect(runs[1]).rejects.toMatchObject({ code: 'notReady' }),
    ])
  })
})

describe('failures', () => {
  it('come back as invalidModel when ONNX Runtime cannot load the file, and again when tried again', async () => {
    start()
    const file = path.join(used.folder, 'garbage.onnx')
    fs.writeFileSync(file, 'not a model')
    const load = () => used.executor.load('garbage', { path: file, manifest: manifestOf(doubling), options })
    for (const attempt of [load, load]) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'invalidModel',
        message: expect.stringContaining('garbage.onnx'),
      })
    }
  })

  it('come back with the text of ONNX Runtime when a run fails, and the stage goes on', async () => {
    start()
    const stage = await loadModel({
      inputs: [spec('x', 'FP32', [3]), spec('i', 'INT64', [1])],
      outputs: [spec('y', 'FP32', [1])],
      nodes: [{ op: 'Gather', inputs: ['x', 'i'], outputs: ['y'] }],
    })
    const at = (index: bigint): Tensor => ({
      name: 'i',
      datatype: 'INT64',
      shape: [1],
      bytes: new Uint8Array(BigInt64Array.of(index).buffer),
    })
    await expect(used.executor.run(stage, [three(), at(9n)])).rejects.toMatchObject({
      message: expect.stringMatching(/ONNX Runtime: .*out of data bounds/s),
    })
    expect(floats((await used.executor.run(stage, [three(), at(2n)])).outputs[0])).toEqual([3])
  })

  it('name the input when a tensor does not fit, before anything is queued', async () => {
    start()
    const stage = await loadModel(doubling)
    const refused = used.executor.run(stage, [fp32('x', [2], [1, 2])])
    expect(used.executor.stats().threads).toMatchObject([{ queued: 0, running: false }])
    await expect(refused).rejects.toMatchObject({
      code: 'invalidTensor',
      message: 'input tensor "x" has shape [2], expected [3]',
    })
  })

  it('of a thread fail its request, and the next ones run on a new thread', async () => {
    start({ heapBytes: 16 * 1024 * 1024 })
    const strings = 3_000_000
    const text = spec('s', 'BYTES' satisfies Datatype, [-1])
    const wordy = await loadModel({
      inputs: [text],
      outputs: [{ ...text, name: 't' }],
      nodes: [{ op: 'Identity', inputs: ['s'], outputs: ['t'] }],
    })
    const stage = await loadModel(doubling)
    const many: Tensor = {
      name: 's',
      datatype: 'BYTES',
      shape: [strings],
      bytes: encodeStrings([...Array(strings).keys()].map((index) => index.toString(36))),
    }
    const [fatal, sent, queued] = await Promise.allSettled([
      used.executor.run(wordy, [many]),
      used.executor.run(stage, [three()]),
      used.executor.run(stage, [three()]),
    ])
    expect(fatal).toMatchObject({
      reason: { code: 'internal', message: expect.stringMatching(/thread died while running.*memory/s) },
    })
    expect(sent).toMatchObject({ reason: { message: expect.stringContaining('send the request again') } })
    expect(queued.status).toBe('fulfilled')
    expect(floats((await used.executor.run(stage, [three()])).outputs[0])).toEqual([2, 4, 6])
    expect(used.executor.stats().threads[0]?.restarts).toBe(1)
  })
})
