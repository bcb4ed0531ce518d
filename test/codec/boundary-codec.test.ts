import { afterAll, describe, expect, it } from 'vitest'
import { type DeploymentHop, BoundaryCodec } from '../../services/inference/forwarding/boundary-codec.ts'
import { codecOf } from '../../shared/codec/index.ts'
import { floatsOf, floatTensor } from './support.ts'

const wires = new Map([1, 3].map((slowdown) => [slowdown, new BoundaryCodec({ slowdown, maxBytes: 1e7 })]))
const wireOf = (slowdown: number) => wires.get(slowdown) ?? new BoundaryCodec({ slowdown, maxBytes: 1e7 })
const hop = (codec?: string): DeploymentHop => ({ resource: 'edge', from: 1, to: 2, ...(codec && { codec }) })
const map = (count: number) =>
  floatTensor(
    [1, 4, count / 4],
    Array.from({ length: count }, (_, index) => Math.max(0, Math.sin(index))),
  )

afterAll(() => Promise.all([...wires.values()].map((codec) => codec.close())))

describe.each([1, 3])('between two hops, on a machine emulated as %i times slower', (slowdown) => {
  const codec = wireOf(slowdown)

  it.each([400, 200_000])('%i elements go encoded and come back within half a step', async (count) => {
    const tensors = [map(count), { ...map(400), name: 'u' }]
    const sent = await codec.encode(tensors, hop('q8c-zstd'))
    expect(sent.tensors.map((tensor) => [tensor.name, codecOf(tensor)])).toEqual([
      ['t', 'q8c-zstd'],
      ['u', 'q8c-zstd'],
    ])
    expect(sent.encoded?.codec).toBe('q8c-zstd')
    expect(sent.wireBytes).toBe(sent.tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
    expect(sent.wireBytes).toBeLessThan((count * 4 + 1600) / 4)
    const arrived = await codec.decode(sent.tensors)
    expect(arrived.decodeMs).toBeGreaterThanOrEqual(0)
    for (const [index, tensor] of arrived.tensors.entries()) {
      expect(tensor.shape).toEqual(tensors[index]?.shape)
      const given = floatsOf(tensors[index] ?? map(4))
      const worst = floatsOf(tensor).reduce(
        (most, x, at) => Math.max(most, Math.abs(x - (given[at] ?? 9))),
        0,
      )
      expect(worst).toBeLessThan(0.5 / 255 + 1e-7)
    }
  })

  it('the tensors that were sent stay usable, for when the hop fails', async () => {
    const tensors = [map(200_000)]
    await codec.encode(tensors, hop('q4'))
    expect(Buffer.compare(tensors[0]?.bytes ?? map(4).bytes, map(200_000).bytes)).toBe(0)
  })

  it('a tensor that shares its buffer with others leaves them alone', async () => {
    const buffer = new Float32Array(300_000).fill(2)
    const part = { ...map(4), shape: [200_000], bytes: new Uint8Array(buffer.buffer, 4, 800_000) }
    const sent = await codec.encode([part], hop('q8'))
    expect(buffer[299_999]).toBe(2)
    const [back] = (await codec.decode(sent.tensors)).tensors
    expect(floatsOf(back ?? map(4)).every((value) => value === 2)).toBe(true)
  })

  it('without a codec nothing is touched', async () => {
    const tensors = [map(400)]
    expect(await codec.encode(tensors, hop())).toEqual({ tensors, wireBytes: 1600 })
    const arrived = await codec.decode(tensors)
    expect(arrived.tensors[0]).toBe(tensors[0])
    expect(arrived.decodeMs).toBeUndefined()
  })

  it('what cannot be decoded is an error of the sender, large or small, and the next one is fine', async () => {
    for (const count of [400, 200_000]) {
      const { tensors } = await codec.encode([map(count)], hop('q8'))
      const [tensor] = tensors
      if (!tensor) throw new Error('nothing was sent')
      const unknown = { ...tensor, parameters: { ...tensor.parameters, scission_codec: 'q3' } }
      const copy = { ...tensor, bytes: new Uint8Array(tensor.bytes) }
      await expect(codec.decode([unknown])).rejects.toMatchObject({ code: 'unsupportedEncoding' })
      expect((await codec.decode([copy])).tensors[0]?.bytes.byteLength).toBe(4 * count)
    }
  })
})
