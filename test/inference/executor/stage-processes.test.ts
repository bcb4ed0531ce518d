/** Stages that run in processes: they answer as threads do, and what runs away ends without harm to others. */
import os from 'node:os'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { ExecutorOptions } from '../../../services/inference/serving/executor/executor.ts'
import { encodeStrings } from '../../../shared/onnx/runtime/ort-strings.ts'
import { DATATYPES, type Datatype } from '../../../shared/contracts/common.ts'
import { ELEMENT_BYTES, type Tensor } from '../../../shared/contracts/tensor.ts'
import { isRunning } from '../../../shared/platform/processes/process-identity.ts'
import { ownBytesOf } from '../../../shared/platform/processes/own-memory.ts'
import { BELOW_SERVING } from '../../../shared/platform/processes/priority.ts'
import { until } from '../../support/eventually.ts'
import { floats, spec, type TinyModel } from '../tiny-models.ts'
import { useExecutor } from './executor-of-tiny-models.ts'
import {
  counting,
  doubling,
  ENDLESS,
  looping,
  matrix,
  slow,
  three,
  turns,
  upTo,
} from './tiny-model-examples.ts'

const used = useExecutor()
const start = (settings: Partial<ExecutorOptions> = {}) => used.start(settings)
const load = (model: TinyModel, passThrough: string[] = []) => used.loadModel(model, passThrough, 'processes')
const soon = () => ({ deadline: performance.now() + 200 })
const statsOf = () => used.executor.stats().processes

/** Ids of the processes that run stages here. */
const pids = () => statsOf().flatMap((stage) => stage.pids)
const isThere = (pid: number) => isRunning({ pid, processStart: '' })

afterEach(async () => {
  const last = pids()
  await used.executor.close()
  expect(last.filter(isThere)).toEqual([])
})

const alike = ({ name, datatype, shape, bytes }: Tensor) => ({ name, datatype, shape, bytes: [...bytes] })
const typed = DATATYPES.filter((type): type is Exclude<Datatype, 'BF16'> => type !== 'BF16')

describe('a stage in a process', () => {
  it('gives way to what serves others where cores are short', async () => {
    start()
    await load(looping)
    expect(pids()).toHaveLength(1)
    for (const pid of pids()) expect(os.getPriority(pid)).toBeGreaterThanOrEqual(BELOW_SERVING)
  })

  it('gives the outputs that it gives on a thread, whatever the type, the shape and the values', async () => {
    start()
    const shape = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 })
    for (const datatype of typed) {
      const model: TinyModel = {
        inputs: [spec('x', datatype, [-1, -1]), spec('through', datatype, [-1, -1])],
        outputs: [spec('y', datatype, [-1, -1]), spec('through', datatype, [-1, -1])],
        nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
      }
      const [thread, processes] = [await used.loadModel(model, ['through']), await load(model, ['through'])]
      await fc.assert(
        fc.asyncProperty(shape, fc.infiniteStream(fc.nat(255)), async (dims, values) => {
          const sizes = [dims[0] ?? 1, dims[1] ?? 2]
          const count = sizes.reduce((all, size) => all * size, 1)
          const next = () => values.next().value
          const made = (name: string): Tensor => {
            const random = Uint8Array.from(
              { length: count * (datatype === 'BYTES' ? 1 : ELEMENT_BYTES[datatype]) },
              next,
            )
            const bytes = datatype === 'BYTES' ? encodeStrings([...random].map(String)) : random
            return {
              name,
              datatype,
              shape: sizes,
              bytes: datatype === 'BOOL' ? bytes.map((one) => one % 2) : bytes,
            }
          }
          const inputs = [made('x'), made('through')]
          const copy = inputs.map((tensor) => ({ ...tensor, bytes: tensor.bytes.slice() }))
          const [one, other] = [
            await used.executor.run(thread, inputs),
            await used.executor.run(processes, copy),
          ]
          expect(other.outputs.map(alike)).toEqual(one.outputs.map(alike))
        }),
        { numRuns: 5 },
      )
      await used.executor.unload(processes)
    }
  })

  it('moves tensors that are larger than any pipe, and says what a run cost', async () => {
    start({ slowdown: 3 })
    const size = 512
    const model: TinyModel = {
      inputs: [spec('x', 'FP32', [size, size])],
      outputs: [spec('y', 'FP32', [size, size])],
      nodes: [{ op: 'MatMul', inputs: ['x', 'x'], outputs: ['y'] }],
    }
    const identity = new Float32Array(size * size)
    for (let row = 0; row < size; row += 1) identity[row * (size + 1)] = 2
    const x: Tensor = {
      name: 'x',
      datatype: 'FP32',
      shape: [size, size],
      bytes: new Uint8Array(identity.buffer),
    }
    const { outputs, ...times } = await used.executor.run(await load(model), [x])
    expect(floats(outputs[0])[size + 1]).toBe(4)
    expect(times.computeMs).toBeGreaterThan(0)
    expect(times.queueMs).toBeGreaterThan(0)
    expect(times.waitedMs).toBeGreaterThan(2 * times.cpuMs * 0.99 - 1)
  })

  it('names what is wrong with an input or its values, and goes on in the same process', async () => {
    start()
    const stage = await load({
      inputs: [spec('x', 'FP32', [3]), spec('i', 'INT64', [1])],
      outputs: [spec('y', 'FP32', [1])],
      nodes: [{ op: 'Gather', inputs: ['x', 'i'], outputs: ['y'] }],
    })
    const at = (index: bigint): Tensor[] => [
      three(),
      { name: 'i', datatype: 'INT64', shape: [1], bytes: new Uint8Array(BigInt64Array.of(index).buffer) },
    ]
    const before = pids()
    await expect(used.executor.run(stage, at(9n))).rejects.toMatchObject({
      code: 'invalidValues',
      message: expect.stringMatching(/ONNX Runtime: .*out of data bounds/s),
    })
    await expect(used.executor.run(stage, [three()])).rejects.toMatchObject({ code: 'invalidTensor' })
    expect(floats((await used.executor.run(stage, at(2n))).outputs[0])).toEqual([3])
    expect(pids()).toEqual(before)
  })

  it('is refused if ONNX Runtime cannot load it, and leaves no process', async () => {
    start()
    const unknown: TinyModel = { ...doubling, nodes: [{ op: 'NoSuch', inputs: ['x'], outputs: ['y'] }] }
    await expect(load(unknown)).rejects.toMatchObject({ code: 'invalidModel' })
    expect(used.executor.stats()).toMatchObject({ stages: [], processes: [] })
  })

  it('refuses what does not fit into its queue', async () => {
    start({ queueLimit: 2, slowdown: 60 })
    const stage = await load(slow)
    const caller = new AbortController()
    const runs = [1, 2, 3].map(() => used.executor.run(stage, [matrix()], { signal: caller.signal }))
    const ended = Promise.allSettled(runs)
    await expect(used.executor.run(stage, [matrix()])).rejects.toMatchObject({ code: 'overloaded' })
    caller.abort()
    expect((await ended).map((run) => run.status)).toEqual(['rejected', 'rejected', 'rejected'])
  })
})

describe('a run without end', () => {
  it('holds up neither other runs of its stage nor of others, and ends at its deadline', async () => {
    start()
    const [stage, other] = [await load(looping), await used.loadModel(doubling)]
    const client = new AbortController()
    const endless = used.executor.run(stage, turns(ENDLESS), { signal: client.signal })
    const left = expect(endless).rejects.toMatchObject({ code: 'cancelled' })
    await until(async () => statsOf()[0]?.running === true)
    expect(floats((await used.executor.run(stage, turns(3n))).outputs[0])).toEqual([8])
    expect(floats((await used.executor.run(other, [three()])).outputs[0])).toEqual([2, 4, 6])
    expect(statsOf()).toMatchObject([{ stages: 2, running: true }])
    client.abort()
    await left
    await expect(used.executor.run(stage, turns(ENDLESS), soon())).rejects.toMatchObject({
      code: 'deadlineExceeded',
    })
    expect(floats((await used.executor.run(stage, turns(2n))).outputs[0])).toEqual([4])
  })

  it('ends after the time that a setting allows if its request has no deadline', async () => {
    start({ runTimeoutMs: 300 })
    const stage = await load(looping)
    await expect(used.executor.run(stage, turns(ENDLESS))).rejects.toMatchObject({
      code: 'deadlineExceeded',
      message: expect.stringContaining('SCISSION_RUN_TIMEOUT_MS'),
    })
    expect(statsOf()).toMatchObject([{ restarts: 1 }])
  })

  it('ends when its client is gone, and its process is replaced without being asked', async () => {
    start()
    const stage = await load(looping)
    const [first] = pids()
    const client = new AbortController()
    const endless = used.executor.run(stage, turns(ENDLESS), { signal: client.signal })
    await until(async () => statsOf()[0]?.running === true)
    client.abort()
    await expect(endless).rejects.toMatchObject({ code: 'cancelled' })
    await until(async () => pids().length === 1 && pids()[0] !== first)
    expect(floats((await used.executor.run(stage, turns(1n))).outputs[0])).toEqual([2])
  })

  it('more than there may be processes leave the next one waiting, no longer than its deadline', async () => {
    start()
    const stage = await load(looping)
    const runs = [1, 2].map(() =>
      used.executor.run(stage, turns(ENDLESS), { deadline: performance.now() + 4000 }),
    )
    const ended = Promise.allSettled(runs)
    await until(async () => pids().length === 2)
    await expect(used.executor.run(stage, turns(1n), soon())).rejects.toMatchObject({
      code: 'deadlineExceeded',
      message: expect.stringContaining('waiting'),
    })
    const patient = used.executor.run(stage, turns(1n))
    expect((await ended).map((run) => run.status)).toEqual(['rejected', 'rejected'])
    expect(floats((await patient).outputs[0])).toEqual([2])
  })

  it('lets its stage be unloaded when it has ended, and the executor close before', async () => {
    start()
    const stage = await load(looping)
    const endless = used.executor.run(stage, turns(ENDLESS), soon())
    const failed = expect(endless).rejects.toMatchObject({ code: 'deadlineExceeded' })
    const before = pids()
    await used.executor.unload(stage)
    await failed
    expect(before.filter(isThere)).toEqual([])
    const again = await load(looping)
    const last = expect(used.executor.run(again, turns(ENDLESS))).rejects.toMatchObject({ code: 'notReady' })
    await used.executor.close()
    await last
  })
})

describe('a process that dies in the middle of a run', () => {
  it('fails that run with what happened, and the next one runs in another', async () => {
    start()
    const stage = await load(looping)
    const endless = used.executor.run(stage, turns(ENDLESS))
    const failed = expect(endless).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/SIGSEGV.*send the request again/),
    })
    await until(async () => statsOf()[0]?.running === true)
    for (const pid of pids()) process.kill(pid, 'SIGSEGV')
    await failed
    expect(floats((await used.executor.run(stage, turns(2n))).outputs[0])).toEqual([4])
  })
})

describe.skipIf(process.platform !== 'linux')('values that ask for much memory', () => {
  it('are refused when the outputs are longer than allowed, and the memory is given back', async () => {
    start({ maxOutputBytes: 2 ** 20 })
    const stage = await load(counting)
    await expect(used.executor.run(stage, upTo(10_000_000n))).rejects.toMatchObject({
      code: 'payloadTooLarge',
      message: expect.stringMatching(/80000000 bytes.*SCISSION_MAX_BODY_BYTES/),
    })
    const { outputs } = await used.executor.run(stage, upTo(5n))
    expect([...new BigInt64Array(outputs[0]?.bytes.slice().buffer ?? new ArrayBuffer(0))]).toEqual([
      0n,
      1n,
      2n,
      3n,
      4n,
    ])
    for (const pid of pids()) expect(ownBytesOf(pid)).toBeLessThan(75_000_000)
  })

  it('are ended when all processes need more than allowed, and others are left alone', async () => {
    start({ memoryBytes: 400 * 2 ** 20 })
    const [stage, other] = [await load(counting), await load(looping)]
    const ended = used.executor.run(other, turns(ENDLESS)).catch(() => undefined)
    await until(async () => statsOf()[1]?.running === true)
    await expect(used.executor.run(stage, upTo(2_000_000_000n))).rejects.toMatchObject({
      code: 'payloadTooLarge',
      message: expect.stringContaining('SCISSION_TRIAL_MEMORY_BYTES'),
    })
    expect(statsOf()).toMatchObject([{ restarts: 1 }, { running: true, restarts: 0 }])
    await used.executor.close()
    await ended
  })
})
