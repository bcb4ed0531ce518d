import { describe, expect, it } from 'vitest'
import { BufferPool } from '../../../services/inference/messages/buffer-memory.ts'

const KIB = 1024

describe('spare buffers', () => {
  it('go to the next who needs just that size, once', () => {
    const spare = new BufferPool()
    const buffer = new ArrayBuffer(100 * KIB)
    spare.give([buffer])
    expect(spare.take(100 * KIB + 1)).toBeUndefined()
    expect(spare.take(100 * KIB)).toBe(buffer)
    expect(spare.take(100 * KIB)).toBeUndefined()
    expect(spare.bytes).toBe(0)
  })

  it('stay under their limit: the sizes not used for longest go first', () => {
    const spare = new BufferPool(300 * KIB)
    spare.give([new ArrayBuffer(100 * KIB), new ArrayBuffer(150 * KIB)])
    spare.give([new ArrayBuffer(140 * KIB)])
    expect(spare.bytes).toBe(290 * KIB)
    expect(spare.take(100 * KIB)).toBeUndefined()
    expect(spare.take(150 * KIB)?.byteLength).toBe(150 * KIB)
  })

  it('are not kept when they are small, larger than the limit, or gone to another thread', () => {
    const spare = new BufferPool(300 * KIB)
    const gone = new ArrayBuffer(100 * KIB)
    structuredClone(gone, { transfer: [gone] })
    spare.give([new ArrayBuffer(1), new ArrayBuffer(400 * KIB), gone])
    expect(spare.bytes).toBe(0)
  })
})
