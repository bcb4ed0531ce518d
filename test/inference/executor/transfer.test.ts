import workerThreads from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { prepareInputs } from '../../../services/inference/serving/executor/run-inputs.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { fp32 } from '../tiny-models.ts'

function prepare(inputs: Tensor[], passThrough: string[] = [], consumed = inputs.map((input) => input.name)) {
  const prepared = prepareInputs({
    inputs,
    consumed: new Set(consumed),
    passThrough: new Set(passThrough),
  })
  const copies = prepared.sent.filter((tensor) => !inputs.includes(tensor))
  return { ...prepared, copiedBytes: copies.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) }
}
const view = (name: string, buffer: ArrayBuffer, offset: number, length: number): Tensor => ({
  name,
  datatype: 'UINT8',
  shape: [length],
  bytes: new Uint8Array(buffer, offset, length),
})

describe('prepareInputs', () => {
  it('moves a tensor that owns its buffer', () => {
    const tensor = fp32('x', [2], [1, 2])
    const { copiedBytes, transfer, sent } = prepare([tensor])
    expect(copiedBytes).toBe(0)
    expect(transfer).toEqual([tensor.bytes.buffer])
    expect(sent).toEqual([tensor])
  })

  it('moves one buffer that several tensors fill, as a request body is read', () => {
    const body = new ArrayBuffer(24)
    const { copiedBytes, transfer } = prepare([view('a', body, 0, 10), view('b', body, 10, 14)])
    expect(copiedBytes).toBe(0)
    expect(transfer).toEqual([body])
  })

  it('copies a part of a larger buffer once, and leaves that buffer alone', () => {
    const larger = new ArrayBuffer(24)
    const { copiedBytes, transfer, sent } = prepare([view('a', larger, 0, 10)])
    expect(copiedBytes).toBe(10)
    expect(transfer).toHaveLength(1)
    expect(transfer[0]).not.toBe(larger)
    expect(sent[0]?.bytes.buffer).toBe(transfer[0])
  })

  it('never moves the pool that small Node Buffers share', () => {
    const bytes = Buffer.from('from the pool')
    expect(bytes.buffer.byteLength).toBe(Buffer.poolSize)
    const { transfer } = prepare([{ name: 'a', datatype: 'UINT8', shape: [13], bytes }])
    expect(transfer).not.toContain(bytes.buffer)
    // Node 20 does not tell what its pool is, so every buffer of the pool's size is copied there.
    const isTold = 'isMarkedAsUntransferable' in workerThreads
    const whole = view('b', new ArrayBuffer(Buffer.poolSize), 0, Buffer.poolSize)
    expect(prepare([whole]).copiedBytes).toBe(isTold ? 0 : Buffer.poolSize)
  })

  it('never moves shared memory', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(16))
    expect(prepare([{ name: 'a', datatype: 'UINT8', shape: [16], bytes }]).copiedBytes).toBe(16)
  })

  it('asks back what passes through in a buffer that moves, and keeps it otherwise', () => {
    const body = new ArrayBuffer(20)
    const moved = prepare([view('a', body, 0, 10), view('b', body, 10, 10)], ['b'], ['a'])
    expect(moved).toMatchObject({ returned: ['b'], kept: [], copiedBytes: 0 })
    const part = view('b', new ArrayBuffer(30), 10, 10)
    const stays = prepare([view('a', new ArrayBuffer(10), 0, 10), part], ['b'], ['a'])
    expect(stays).toMatchObject({ returned: [], kept: [part], copiedBytes: 0 })
  })

  it('copies what passes through and is consumed as well, when its buffer stays', () => {
    const part = view('a', new ArrayBuffer(30), 10, 10)
    expect(prepare([part], ['a'])).toMatchObject({ kept: [part], copiedBytes: 10 })
  })
})
