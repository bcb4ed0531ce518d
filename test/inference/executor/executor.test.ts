/** Runs of loaded stages: what goes in, what comes out, what it costs. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { decodeStrings, encodeStrings } from '../../../shared/onnx/runtime/ort-strings.ts'
import { ELEMENT_BYTES, type Tensor } from '../../../shared/contracts/tensor.ts'
import { floats, fp32, manifestOf, spec, type TinyModel, writeModel } from '../tiny-models.ts'
import { until } from '../../support/eventually.ts'
import { useExecutor } from './executor-of-tiny-models.ts'
import { doubling, matrix, slow, three } from './tiny-model-examples.ts'

const options = { threads: 1, optimisation: 'all' } as const
const used = useExecutor()
const { loadModel, start } = used

describe('a loaded stage', () => {
  it('runs, and says how long it queued, computed and used the CPU', async () => {
    start()
    const stage = await loadModel(doubling)
    const { outputs, ...times } = await used.executor.run(stage, [three()])
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
    await used.executor.run(stage, [matrix()])
    const { computeMs, cpuMs } = await used.executor.run(stage, [matrix()])
    expect(cpuMs).toBeGreaterThan(0)
    expect(cpuMs).toBeLessThan(computeMs * 1.1 + 1)
  })

  it('takes its input by transfer: the tensor of the caller is empty afterwards', async () => {
    start()
    const stage = await loadModel(doubling)
    const input = three()
    await used.executor.run(stage, [input])
    expect(input.bytes.byteLength).toBe(0)
  })

  it('leaves a larger buffer alone, also when the tensor lies askew in it', async () => {
    start()
    const stage = await loadModel(doubling)
    const body = new Uint8Array(40)
    body.set(three().bytes, 5)
    const input = { ...three(), bytes: body.subarray(5, 17) }
    const { outputs } = await used.executor.run(stage, [input])
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
    const { outputs } = await used.executor.run(stage, [flag, { ...three(), bytes: body.subarray(1) }])
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
      const { outputs } = await used.executor.run(stage, [
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
    const { outputs } = await used.executor.run(stage, [text, fp32('x', [0, 4], [])])
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
    expect(used.executor.stats()).toMatchObject({ stages: [], threads: [{ stages: 0 }] })
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
    const { outputs } = await used.executor.run(stage, [three(), skip()])
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
    const { outputs } = await used.executor.run(stage, [
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
    const stage = await used.executor.load('empty', { path: null, manifest, options })
    const { outputs, computeMs } = await used.executor.run(stage, [skip()])
    expect(outputs).toEqual([skip()])
    expect(computeMs).toBe(0)
    expect(used.executor.stats().threads[0]?.stages).toBe(0)
  })
})

describe('privacy', () => {
  it('ONNX Runtime reports to nobody: it leaves none of its telemetry files', async () => {
    const temporary = fs.mkdtempSync(path.join(used.folder, 'tmp-'))
    const model = path.join(used.folder, 'private.onnx')
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

describe('a run that goes on after it was given up', () => {
  it('leaves its thread behind, and what waits runs on another', async () => {
    // Such a run takes 10 s or more.
    start({ slowdown: 1000, overrunMs: 50 })
    const endless = await loadModel(slow)
    const stage = await loadModel(doubling)
    const run = used.executor.run(endless, [matrix()], { deadline: performance.now() + 300 })
    await expect(run).rejects.toMatchObject({ code: 'deadlineExceeded' })
    await until(async () => used.executor.stats().threads[0]?.restarts === 1)
    const { outputs } = await used.executor.run(stage, [three()])
    expect(floats(outputs[0])).toEqual([2, 4, 6])
    expect(used.executor.stats().threads).toEqual([{ stages: 1, queued: 0, running: false, restarts: 1 }])
  })

  it('keeps its thread if its model takes long', async () => {
    start({ slowdown: 10, overrunMs: 1 })
    const long = await loadModel(slow)
    await used.executor.run(long, [matrix()])
    const run = used.executor.run(long, [matrix()], { deadline: performance.now() + 20 })
    await expect(run).rejects.toMatchObject({ code: 'deadlineExceeded' })
    await used.executor.run(long, [matrix()])
    expect(used.executor.stats().threads[0]?.restarts).toBe(0)
  })
})

describe('a slower machine', () => {
  it('is emulated by waiting (factor − 1) times the CPU time', async () => {
    start({ slowdown: 3 })
    const stage = await loadModel(slow)
    let cpuMs = 0
    let waitedMs = 0
    for (let run = 0; run < 10; run++) {
      const result = await used.executor.run(stage, [matrix()])
      cpuMs += result.cpuMs
      waitedMs += result.waitedMs
    }
    // A late wake-up on a busy machine is not made up for beyond 1 ms: only the lower bound is exact.
    expect(waitedMs).toBeGreaterThan(2 * cpuMs * 0.99 - 1)
  })
})
