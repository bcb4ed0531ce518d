import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { writeRange } from '../../shared/onnx/index.ts'
import { mergeExtents } from '../../shared/onnx/structure/write-range.ts'
import { floats, model, node, value } from './support/build.ts'
import { type Analysed, analysed, declaredNames, fileOf } from './support/models.ts'
import { inputsOf, runFile } from './support/run.ts'

/** x → MatMul w0 → Relu → MatMul w1 → y, and an early output. */
function chain(): Promise<Analysed> {
  return analysed(
    fileOf(
      model({
        nodes: [
          node('MatMul', ['x', 'w0'], ['a']),
          node('Relu', ['a'], ['b']),
          node('MatMul', ['b', 'w1'], ['y']),
        ],
        inputs: [value('x', [1, 500])],
        outputs: [value('y', [1, 20]), value('a', [1, 100])],
        constants: [floats('w0', [500, 100]), floats('w1', [100, 20])],
      }),
    ),
  )
}

describe('a layer range', () => {
  it('is a small file that names the weight bytes it needs, and only those', async () => {
    const { canonical, dir, file } = await chain()
    const range = await writeRange(canonical, 0, 1, path.join(dir, 'range.onnx'))
    expect(range.onnx?.bytes).toBeLessThan(500)
    expect(fs.statSync(path.join(dir, 'range.onnx')).size).toBe(range.onnx?.bytes)
    expect(range.extents).toHaveLength(1)
    expect(range.extents[0]).toMatchObject({ path: file, length: 500 * 100 * 4 })
    const { offset } = range.extents[0]!
    const weights = Buffer.from(floats('w0', [500, 100]).rawData)
    expect(
      fs
        .readFileSync(path.join(dir, file))
        .subarray(offset, offset + weights.length)
        .equals(weights),
    ).toBe(true)
  })

  it('takes and makes the tensors of its boundaries, and lists what passes through', async () => {
    const { canonical, dir } = await chain()
    const at = async (from: number, to: number) => {
      const file = path.join(dir, `${from}-${to}.onnx`)
      const range = await writeRange(canonical, from, to, file)
      return { ...range, model: declaredNames(file) }
    }
    const all = { inputs: ['x'], outputs: ['a', 'b'] }
    expect(await at(0, 2)).toMatchObject({ model: all, passThrough: [] })
    const inner = { inputs: ['a'], outputs: ['b'] }
    expect(await at(1, 2)).toMatchObject({ model: inner, passThrough: ['a'] })
    const last = await at(2, 3)
    expect(last).toMatchObject({ model: { inputs: ['b'], outputs: ['y'] }, passThrough: ['a'] })
    expect(last.inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['a', [1, 100]],
      ['b', [1, 100]],
    ])
  })

  it('that is empty writes nothing: everything passes through', async () => {
    const { canonical, dir } = await chain()
    const range = await writeRange(canonical, 2, 2, path.join(dir, 'empty.onnx'))
    expect(range).toMatchObject({ onnx: null, passThrough: ['a', 'b'], extents: [] })
    expect(fs.existsSync(path.join(dir, 'empty.onnx'))).toBe(false)
  })

  it.each([
    [-1, 2],
    [2, 1],
    [0, 4],
    [0.5, 2],
    [Number.NaN, 2],
  ])('from %d to %d is refused, naming the number of layers', async (from, to) => {
    const { canonical, dir } = await chain()
    const refused = writeRange(canonical, from, to, path.join(dir, 'range.onnx'))
    await expect(refused).rejects.toMatchObject({ code: 'invalidRange', details: { layers: 3 } })
    await expect(refused).rejects.toThrow('the model has 3 layers')
  })

  it('must lie beside the weights', async () => {
    const { canonical, dir } = await chain()
    const refused = writeRange(canonical, 0, 1, path.join(dir, '..', 'range.onnx'))
    await expect(refused).rejects.toThrow("into the model's folder")
  })

  it('is the same bytes each time, also after the canonical file was written again', async () => {
    const one = await chain()
    const other = await chain()
    const digest = async ({ canonical, dir }: Analysed) =>
      (await writeRange(canonical, 0, 2, path.join(dir, 'range.onnx'))).onnx?.sha256
    expect(await digest(other)).toBe(await digest(one))
  })

  it('declares the static shapes of its inputs', async () => {
    const analysis = await chain()
    const file = path.join(analysis.dir, 'range.onnx')
    await writeRange(analysis.canonical, 1, 3, file)
    const wrong = new Map(inputsOf(analysis))
    wrong.set('a', { name: 'a', datatype: 'FP32', shape: [2, 100], bytes: new Uint8Array(800) })
    await expect(runFile(file, wrong, 'all')).rejects.toThrow(/a.*100|dimension/i)
  })
})

describe('extents', () => {
  it('are merged where they touch or overlap, file by file', () => {
    const extent = (at: string, offset: number, length: number) => ({ path: at, offset, length })
    expect(
      mergeExtents([
        extent('b', 0, 4),
        extent('a', 10, 5),
        extent('a', 0, 10),
        extent('a', 12, 10),
        extent('a', 30, 1),
        extent('a', 31, 0),
      ]),
    ).toEqual([extent('a', 0, 22), extent('a', 30, 1), extent('b', 0, 4)])
  })
})

describe('made-up inputs', () => {
  const spec = (
    name: string,
    datatype: 'FP32' | 'FP16' | 'INT64' | 'UINT8' | 'BOOL' | 'BYTES',
    count: number,
  ) => ({
    name,
    datatype,
    shape: [count],
    bytes: 0,
  })

  it('are the same for the same seed, and others for another', () => {
    const specs = [spec('a', 'FP32', 100), spec('b', 'FP32', 100)]
    const [a, b] = makeInputs(specs, 1)
    expect(makeInputs(specs, 1)[0]?.bytes).toEqual(a?.bytes)
    expect(makeInputs(specs, 2)[0]?.bytes).not.toEqual(a?.bytes)
    expect(b?.bytes).not.toEqual(a?.bytes)
  })

  it('excite a network: floats are standard normal, bytes span their range', () => {
    const [floats32, bytes] = makeInputs([spec('f', 'FP32', 20_000), spec('u', 'UINT8', 2000)], 3)
    const numbers = new Float32Array(floats32!.bytes.buffer)
    const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length
    const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length
    expect(Math.abs(mean)).toBeLessThan(0.05)
    expect(Math.abs(variance - 1)).toBeLessThan(0.05)
    expect(Math.max(...bytes!.bytes)).toBeGreaterThan(250)
    expect(Math.min(...bytes!.bytes)).toBeLessThan(5)
  })

  it('keep to hints, and to 0 and 1 where integers may be anything', () => {
    const specs = [
      spec('i', 'INT64', 1000),
      spec('rate', 'INT64', 1),
      spec('token', 'INT64', 1000),
      spec('m', 'BOOL', 100),
    ]
    const [i, rate, token, mask] = makeInputs(specs, 1, { rate: { value: 16000 }, token: { max: 9 } })
    const integers = (bytes: Uint8Array) => [...new BigInt64Array(bytes.buffer)].map(Number)
    expect(new Set(integers(i!.bytes))).toEqual(new Set([0, 1]))
    expect(integers(rate!.bytes)).toEqual([16000])
    expect(Math.max(...integers(token!.bytes))).toBe(9)
    expect(new Set(mask!.bytes)).toEqual(new Set([0, 1]))
  })

  it('have half-precision and string forms', () => {
    const [half, text] = makeInputs([spec('h', 'FP16', 1000), spec('s', 'BYTES', 2)], 1)
    expect(half?.bytes).toHaveLength(2000)
    expect([...text!.bytes]).toEqual([1, 0, 0, 0, 97, 1, 0, 0, 0, 97])
  })

  it('cannot be made for unknown shapes', () => {
    expect(() => makeInputs([{ ...spec('x', 'FP32', 1), shape: [1, -1] }], 1)).toThrow('no fixed shape')
  })
})
