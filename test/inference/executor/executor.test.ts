import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  Executor,
  type ExecutorOptions,
  type LoadedStage,
} from '../../../services/inference/serving/executor/executor.ts'
import { decodeStrings, encodeStrings } from '../../../shared/onnx/runtime/ort-strings.ts'
import type { Datatype } from '../../../shared/contracts/common.ts'
import { ELEMENT_BYTES, type Tensor } from '../../../shared/contracts/tensor.ts'
import { floats, fp32, manifestOf, spec, type TinyModel, writeModel } from '../tiny-models.ts'

const options = { threads: 1, optimisation: 'all' } as const
let folder: string
let executor: Executor

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-executor-'))
})
afterEach(() => executor.close())
afterAll(() => fs.rmSync(folder, { recursive: true }))

function start(settings: Partial<ExecutorOptions> = {}): void {
  executor = new Executor({ executors: 1, queueLimit: 64, ...settings })
}

let files = 0
function loadModel(model: TinyModel, passThrough: string[] = []): Promise<LoadedStage> {
  const file = path.join(folder, `${files++}.onnx`)
  const own = (tensor: { name: string }) => !passThrough.includes(tensor.name)
  const used = (tensor: { name: string }) =>
    own(tensor) || model.nodes.some((node) => node.inputs.includes(tensor.name))
  writeModel(file, { ...model, inputs: model.inputs.filter(used), outputs: model.outputs.filter(own) })
  return executor.load(file, { path: file, manifest: manifestOf(model, passThrough), options })
}

/** y = x + x */
const doubling: TinyModel = {
  inputs: [spec('x', 'FP32', [3])],
  outputs: [spec('y', 'FP32', [3])],
  nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
}
const three = () => fp32('x', [3], [1, 2, 3])

/** Takes about 20 ms per run: a chain of matrix products. */
const size = 256
const slow: TinyModel = {
  inputs: [spec('m0', 'FP32', [size, size])],
  outputs: [spec('m16', 'FP32', [size, size])],
  nodes: [...Array(16).keys()].map((step) => ({
    op: 'MatMul',
    inputs: [`m${step}`, `m${step}`],
    outputs: [`m${step + 1}`],
  })),
}
const matrix = () => fp32('m0', [size, size], new Float32Array(size * size))

describe('a loaded stage', () => {
  it('runs, and says how long it queued, computed and used the CPU', async () => {
    start()
    const stage = await loadModel(doubling)
    const { outputs, ...times } = await executor.run(stage, [three()])
    expect(outputs).toMatchObject([{ name: 'y', datatype: 'FP32', shape: [3] }])
    expect(floats(outputs[0])).toEqual([2, 4, 6])
    expect(times.computeMs).toBeGreaterThan(0)
    expect(times.cpuMs).toBeGreaterThan(0)
    expect(times.queueMs).toBeGreaterThan(0)
    expect(times.waitedMs).toBe(0)
  })

  it('measures CPU time that stays close to wall time for a single thread', async () => {
    start()
    const stage = await loadModel(slow)
    await executor.run(stage, [matrix()])
    const { computeMs, cpuMs } = await executor.run(stage, [matrix()])
    expect(cpuMs).toBeGreaterThan(0)
    expect(cpuMs).toBeLessThan(computeMs * 1.1 + 1)
  })

  it('takes its input by transfer: the tensor of the caller is empty afterwards', async () => {
    start()
    const stage = await loadModel(doubling)
    const input = three()
    await executor.run(stage, [input])
    expect(input.bytes.byteLength).toBe(0)
  })

  it('leaves a larger buffer alone, also when the tensor lies askew in it', async () => {
    start()
    const stage = await loadModel(doubling)
    const body = new Uint8Array(40)
    body.set(three().bytes, 5)
    const input = { ...three(), bytes: body.subarray(5, 17) }
    const { outputs } = await executor.run(stage, [input])
    expect(floats(outputs[0])).toEqual([2, 4, 6])
    expect(body.byteLength).toBe(40)
  })

  it('reads tensors that lie askew in a body that they fill', async () => {
    start()
    const stage = await loadModel({
      ...doubling,
      inputs: [...doubling.inputs, spec('flag', 'BOOL', [1])],
      outputs: [...doubling.outputs, spec('not', 'BOOL', [1])],
      nodes: [...doubling.nodes, { op: 'Not', inputs: ['flag'], outputs: ['not'] }],
    })
    const body = new Uint8Array(13)
    body.set(three().bytes, 1)
    const flag: Tensor = { name: 'flag', datatype: 'BOOL', shape: [1], bytes: body.subarray(0, 1) }
    const { outputs } = await executor.run(stage, [flag, { ...three(), bytes: body.subarray(1) }])
    expect(floats(outputs[0])).toEqual([2, 4, 6])
    expect([...(outputs[1]?.bytes ?? [])]).toEqual([1])
  })

  it.each((Object.keys(ELEMENT_BYTES) as (keyof typeof ELEMENT_BYTES)[]).filter((type) => type !== 'BF16'))(
    'hands %s values through ONNX Runtime unchanged',
    async (datatype) => {
      start()
      const stage = await loadModel({
        inputs: [spec('x', datatype, [2, 2])],
        outputs: [spec('y', datatype, [2, 2])],
        nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
      })
      const bytes = new Uint8Array(4 * ELEMENT_BYTES[datatype])
      for (const index of bytes.keys()) bytes[index] = datatype === 'BOOL' ? index % 2 : 17 * (index + 1)
      const { outputs } = await executor.run(stage, [
        { name: 'x', datatype, shape: [2, 2], bytes: bytes.slice() },
      ])
      expect(outputs[0]).toMatchObject({ name: 'y', datatype, shape: [2, 2] })
      expect(new Uint8Array(outputs[0]?.bytes ?? [])).toEqual(bytes)
    },
  )

  it('hands strings and empty tensors through', async () => {
    start()
    const stage = await loadModel({
      inputs: [spec('s', 'BYTES', [3]), spec('x', 'FP32', [0, 4])],
      outputs: [spec('t', 'BYTES', [3]), spec('y', 'FP32', [0, 4])],
      nodes: [
        { op: 'Identity', inputs: ['s'], outputs: ['t'] },
        { op: 'Identity', inputs: ['x'], outputs: ['y'] },
      ],
    })
    const bytes = encodeStrings(['a', '', 'Zürich ✓'])
    const text = { name: 's', datatype: 'BYTES' as const, shape: [3], bytes }
    const { outputs } = await executor.run(stage, [text, fp32('x', [0, 4], [])])
    expect(decodeStrings({ name: 't', bytes: outputs[0]?.bytes ?? new Uint8Array() })).toEqual([
      'a',
      '',
      'Zürich ✓',
    ])
    expect(outputs[1]).toMatchObject({ shape: [0, 4], bytes: new Uint8Array(0) })
  })

  it('says clearly that BF16 cannot be loaded, and does not count it as loaded', async () => {
    start()
    const identity: TinyModel = {
      inputs: [spec('x', 'BF16', [1])],
      outputs: [spec('y', 'BF16', [1])],
      nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
    }
    await expect(loadModel(identity)).rejects.toMatchObject({ code: 'invalidModel' })
    expect(executor.stats()).toMatchObject({ stages: [], threads: [{ stages: 0 }] })
  })
})

describe('tensors that pass through', () => {
  const model: TinyModel = {
    inputs: [spec('x', 'FP32', [3]), spec('skip', 'INT64', [1])],
    outputs: [spec('skip', 'INT64', [1]), spec('y', 'FP32', [3]), spec('x', 'FP32', [3])],
    nodes: doubling.nodes,
  }
  const skip = (): Tensor => ({
    name: 'skip',
    datatype: 'INT64',
    shape: [1],
    bytes: new Uint8Array(BigInt64Array.of(-7n).buffer),
  })

  it('come out as they went in, in the order of the boundary, consumed on the way or not', async () => {
    start()
    const stage = await loadModel(model, ['skip', 'x'])
    const { outputs } = await executor.run(stage, [three(), skip()])
    expect(outputs.map((tensor) => tensor.name)).toEqual(['skip', 'y', 'x'])
    expect(outputs[0]).toEqual(skip())
    expect(floats(outputs[1])).toEqual([2, 4, 6])
    expect(floats(outputs[2])).toEqual([1, 2, 3])
  })

  it('come out as they went in when all lie in one body', async () => {
    start()
    const stage = await loadModel(model, ['skip', 'x'])
    const body = new Uint8Array(20)
    body.set(skip().bytes)
    body.set(three().bytes, 8)
    const { outputs } = await executor.run(stage, [
      { ...skip(), bytes: body.subarray(0, 8) },
      { ...three(), bytes: body.subarray(8) },
    ])
    expect(new Uint8Array(outputs[0]?.bytes ?? [])).toEqual(skip().bytes)
    expect(floats(outputs[2])).toEqual([1, 2, 3])
  })

  it('need no session at all when the range is empty', async () => {
    start()
    const manifest = manifestOf(
      { inputs: [spec('skip', 'INT64', [1])], outputs: [spec('skip', 'INT64', [1])] },
      ['skip'],
    )
    const stage = await executor.load('empty', { path: null, manifest, options })
    const { outputs, computeMs } = await executor.run(stage, [skip()])
    expect(outputs).toEqual([skip()])
    expect(computeMs).toBe(0)
    expect(executor.stats().threads[0]?.stages).toBe(0)
  })
})

describe('sharing', () => {
  it('keeps one session for a stage that is loaded twice, until it was unloaded twice', async () => {
    start()
    const first = await loadModel(doubling)
    const second = await executor.load(first.key, first)
    expect(second).toBe(first)
    expect(executor.stats().stages).toEqual([{ key: first.key, references: 2, threads: 1 }])
    await executor.unload(first)
    expect(floats((await executor.run(first, [three()])).outputs[0])).toEqual([2, 4, 6])
    await executor.unload(first)
    await expect(executor.run(first, [three()])).rejects.toMatchObject({ code: 'notReady' })
    expect(executor.stats()).toMatchObject({ stages: [], threads: [{ stages: 0 }] })
  })

  it('finishes queued runs before an unload takes effect', async () => {
    start()
    const stage = await loadModel(doubling)
    const runs = [1, 2, 3].map(() => executor.run(stage, [three()]))
    await executor.unload(stage)
    for (const { outputs } of await Promise.all(runs)) expect(floats(outputs[0])).toEqual([2, 4, 6])
  })

  it('uses a second thread when two requests meet, and not before', async () => {
    start({ executors: 2 })
    const stage = await loadModel(slow)
    await executor.run(stage, [matrix()])
    await executor.run(stage, [matrix()])
    expect(executor.stats().stages[0]?.threads).toBe(1)
    await Promise.all([executor.run(stage, [matrix()]), executor.run(stage, [matrix()])])
    expect(executor.stats().stages[0]?.threads).toBe(2)
  })

  it('computes many requests at once, each with its own answer', async () => {
    start({ executors: 2 })
    const stage = await loadModel(doubling)
    const answers = await Promise.all(
      [...Array(60).keys()].map((index) => executor.run(stage, [fp32('x', [3], [index, 0, 0])])),
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
    const runs = [1, 2, 3, 4, 5].map(() => executor.run(stage, [matrix()]))
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
    const first = executor.run(stage, [matrix()])
    const sent = executor.run(stage, [matrix()], { signal: caller.signal })
    const queued = executor.run(stage, [input], { signal: caller.signal })
    const last = executor.run(stage, [matrix()])
    caller.abort()
    await expect(sent).rejects.toMatchObject({ code: 'cancelled' })
    await expect(queued).rejects.toMatchObject({ code: 'cancelled' })
    const [{ computeMs, waitedMs }, { queueMs }] = await Promise.all([first, last])
    expect(input.bytes.byteLength).toBe(size * size * 4)
    // Neither was computed: the last one began when the first had ended.
    expect(queueMs).toBeLessThan(2 * (computeMs + waitedMs))
    await expect(executor.run(stage, [matrix()], { signal: caller.signal })).rejects.toMatchObject({
      code: 'cancelled',
    })
  })

  it('answers at the deadline, whether the request waits or computes', async () => {
    start({ slowdown: 50 })
    const stage = await loadModel(slow)
    const deadline = Date.now() + 40
    const runs = [1, 2].map(() => executor.run(stage, [matrix()], { deadline }))
    await Promise.all(runs.map((run) => expect(run).rejects.toMatchObject({ code: 'deadlineExceeded' })))
    await expect(executor.run(stage, [matrix()], { deadline: Date.now() - 1 })).rejects.toMatchObject({
      code: 'deadlineExceeded',
    })
  })

  it('lets the computation under way finish when the executor closes, and refuses the rest', async () => {
    start()
    const stage = await loadModel(slow)
    const runs = [1, 2].map(() => executor.run(stage, [matrix()]))
    await Promise.all([
      executor.close(),
      expect(runs[0]).resolves.toMatchObject({ outputs: [{ name: 'm16' }] }),
      expect(runs[1]).rejects.toMatchObject({ code: 'notReady' }),
    ])
  })
})

describe('privacy', () => {
  it('ONNX Runtime reports to nobody: it leaves none of its telemetry files', async () => {
    const temporary = fs.mkdtempSync(path.join(folder, 'tmp-'))
    const model = path.join(folder, 'private.onnx')
    writeModel(model, doubling)
    const script = path.join(temporary, 'load.mts')
    const executorUrl = pathToFileURL(path.resolve('services/inference/serving/executor/executor.ts')).href
    const source = { path: model, manifest: manifestOf(doubling), options }
    fs.writeFileSync(
      script,
      `import { Executor } from ${JSON.stringify(executorUrl)}
const executor = new Executor({ executors: 1, queueLimit: 1 })
await executor.load('private', ${JSON.stringify(source)})
await executor.close()`,
    )
    start()
    const env: NodeJS.ProcessEnv = { ...process.env, TMPDIR: temporary }
    delete env['ORT_DISABLE_TELEMETRY']
    execFileSync(process.execPath, ['--import', import.meta.resolve('tsx'), script], { env })
    const left = fs.readdirSync(temporary).filter((name) => /^\.ses$|^mat-debug/.test(name))
    expect(left).toEqual([])
  })
})

describe('a slower machine', () => {
  it('is emulated by waiting (factor − 1) times the CPU time', async () => {
    start({ slowdown: 3 })
    const stage = await loadModel(slow)
    let cpuMs = 0
    let waitedMs = 0
    for (let run = 0; run < 10; run++) {
      const result = await executor.run(stage, [matrix()])
      cpuMs += result.cpuMs
      waitedMs += result.waitedMs
    }
    // A late wake-up on a busy machine is not made up for beyond 1 ms: only the lower bound is exact.
    expect(waitedMs).toBeGreaterThan(2 * cpuMs * 0.99 - 1)
  })
})

describe('failures', () => {
  it('come back as invalidModel when ONNX Runtime cannot load the file, and again when tried again', async () => {
    start()
    const file = path.join(folder, 'garbage.onnx')
    fs.writeFileSync(file, 'not a model')
    const load = () => executor.load('garbage', { path: file, manifest: manifestOf(doubling), options })
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
    await expect(executor.run(stage, [three(), at(9n)])).rejects.toMatchObject({
      message: expect.stringMatching(/ONNX Runtime: .*out of data bounds/s),
    })
    expect(floats((await executor.run(stage, [three(), at(2n)])).outputs[0])).toEqual([3])
  })

  it('name the input when a tensor does not fit, before anything is queued', async () => {
    start()
    const stage = await loadModel(doubling)
    const refused = executor.run(stage, [fp32('x', [2], [1, 2])])
    expect(executor.stats().threads).toMatchObject([{ queued: 0, running: false }])
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
      executor.run(wordy, [many]),
      executor.run(stage, [three()]),
      executor.run(stage, [three()]),
    ])
    expect(fatal).toMatchObject({
      reason: { code: 'internal', message: expect.stringMatching(/thread died while running.*memory/s) },
    })
    expect(sent).toMatchObject({ reason: { message: expect.stringContaining('send the request again') } })
    expect(queued.status).toBe('fulfilled')
    expect(floats((await executor.run(stage, [three()])).outputs[0])).toEqual([2, 4, 6])
    expect(executor.stats().threads[0]?.restarts).toBe(1)
  })
})
