/** Cuts are held to what ONNX Runtime makes of the pieces, and the layers to what the file computes. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkResults } from '../../shared/onnx/structure/check-results.ts'
import { openCanonical, canonicalPaths } from '../../shared/onnx/index.ts'
import { DataType, floats, model, node, tensorOf, value } from './support/build.ts'
import { analysed, fileOf } from './support/models.ts'
import { difference, inputsOf, operators, runFile, runPieces } from './support/run.ts'

const y = value('y', undefined)

/** 4-bit weights with one scale for each block of 16. */
function blockWeights(name: string, rows: number, columns: number) {
  const packed = Uint8Array.from({ length: (rows * columns) / 2 }, (_, i) => (i * 37 + 11) % 256)
  return [tensorOf(name, [rows, columns], DataType.INT4, packed), floats(`${name}_s`, [rows / 16, columns])]
}

const dense = (from: string, weights: string, to: string) => [
  node('DequantizeLinear', [weights, `${weights}_s`], [`${to}_w`], { axis: 0n, block_size: 16 }),
  node('MatMul', [from, `${to}_w`], [to]),
]

/** Weights of 4 bits that ONNX Runtime multiplies as they are only where the layers after them are not there. */
const fourBits = () =>
  model(
    {
      nodes: [
        ...dense('x', 'q0', 'm0'),
        node('Relu', ['m0'], ['r0']),
        ...dense('r0', 'q1', 'm1'),
        node('Relu', ['m1'], ['r1']),
        node('MatMul', ['r1', 'w2'], ['m2']),
        node('Sigmoid', ['m2'], ['s2']),
        node('MatMul', ['s2', 'w3'], ['y']),
      ],
      inputs: [value('x', [4, 64])],
      outputs: [y],
      constants: [
        ...blockWeights('q0', 64, 32),
        ...blockWeights('q1', 32, 32),
        floats('w2', [32, 16]),
        floats('w3', [16, 8]),
      ],
    },
    21,
    10,
  )

describe('cuts that change results', () => {
  it('do not exist: the layers around them are one, and the user is told', async () => {
    const analysis = await analysed(fileOf(fourBits()))
    expect(operators(analysis)).toEqual(['scission::Group_0', 'Sigmoid', 'MatMul'])
    expect(analysis.structure.warnings).toEqual([
      expect.stringMatching(
        /^5 layers, MatMul "MatMul:m0" to MatMul "MatMul:m2", are one: .* changes "y" by /,
      ),
    ])
    expect(analysis.structure.layers[0]?.macs).toBe(4 * (64 * 32 + 32 * 32 + 32 * 16))
    const inputs = inputsOf(analysis)
    const whole = await runFile(path.join(analysis.dir, analysis.file), inputs, 'all')
    for (const k of [1, 2]) expect(difference(await runPieces(analysis, [k], inputs, 'all'), whole)).toBe(0)
  })

  it('are found where ONNX Runtime itself drops a layer of the whole that it keeps in a piece', async () => {
    const analysis = await analysed(
      fileOf(
        model(
          {
            nodes: [
              node('MatMul', ['x', 'w'], ['h']),
              node('Relu', ['h'], ['r']),
              node('QuantizeLinear', ['r', 'scale', 'point'], ['q']),
              node('DequantizeLinear', ['q', 'scale', 'point'], ['d']),
              node('Softmax', ['d'], ['y']),
            ],
            inputs: [value('x', [2, 8])],
            outputs: [y],
            constants: [
              floats('w', [8, 8]),
              floats('scale', [], [0.25]),
              tensorOf('point', [], DataType.FLOAT8E4M3FN, Uint8Array.of(0)),
            ],
          },
          21,
          10,
        ),
      ),
    )
    expect(operators(analysis)).toEqual(['MatMul', 'scission::Group_1', 'Softmax'])
    expect(analysis.structure.warnings).toContainEqual(
      expect.stringContaining("ONNX Runtime's own optimisations change"),
    )
  })
})

describe('clean cuts', () => {
  it('do not make a fusion possible that the whole does not have', async () => {
    const analysis = await analysed(
      fileOf(
        model({
          nodes: [
            node('Relu', ['x'], ['r']),
            node('Mul', ['r', 'z'], ['h']),
            node('Div', ['h', 'root'], ['d']),
            node('Erf', ['d'], ['e']),
            node('Add', ['e', 'one'], ['a']),
            node('Mul', ['h', 'a'], ['m']),
            node('Mul', ['m', 'half'], ['g']),
            node('Neg', ['g'], ['y']),
          ],
          inputs: [value('x', [2, 8]), value('z', [2, 8])],
          outputs: [y],
          constants: [floats('root', [], [Math.SQRT2]), floats('one', [], [1]), floats('half', [], [0.5])],
        }),
      ),
    )
    expect(operators(analysis)).toHaveLength(8)
    expect(analysis.structure.boundaries[2]).toMatchObject({
      clean: false,
      allowed: true,
      why: expect.stringMatching(/^cut here, ONNX Runtime optimises in another way: .*Gelu instead of/),
    })
  })

  it('are outside of what ONNX Runtime only fuses once it has chosen where it computes in 32 bits', async () => {
    const analysis = await analysed(
      fileOf(
        model({
          nodes: [
            node('Tanh', ['x'], ['t']),
            node('Mul', ['t', 'scale'], ['s']),
            node('Cast', ['s'], ['h'], { to: BigInt(DataType.FLOAT16) }),
            node('Cast', ['w'], ['v'], { to: BigInt(DataType.FLOAT16) }),
            node('MatMul', ['h', 'v'], ['m']),
            node('Cast', ['m'], ['y'], { to: BigInt(DataType.FLOAT) }),
          ],
          inputs: [value('x', [2, 8])],
          outputs: [y],
          constants: [floats('scale', [], [3]), floats('w', [8, 8])],
        }),
      ),
    )
    const { boundaries, layers } = analysis.structure
    expect(layers.map(({ op }) => op)).toEqual(['Tanh', 'Mul', 'Cast', 'MatMul', 'Cast'])
    expect(boundaries.map(({ clean }) => clean)).toEqual([true, true, false, false, false, true])
    expect(boundaries[2]?.why).toContain('FusedMatMul')
  })
})

describe('a model', () => {
  it('whose layers do not compute what its file does is refused', async () => {
    const analysis = await analysed(
      fileOf(
        model({
          nodes: [node('Relu', ['x'], ['h']), node('Neg', ['h'], ['y'])],
          inputs: [value('x', [2, 3])],
          outputs: [y],
        }),
      ),
    )
    const { dir, file, structure } = analysis
    const canonical = await openCanonical(canonicalPaths(dir, structure.shapesKey).canonical)
    const inputs = inputsOf(analysis)
    const outputs = await runPieces(analysis, [], inputs, 'disabled')
    const trial = { file: path.join(dir, file), inputs, outputs }
    expect((await checkResults(canonical, trial)).warnings).toEqual([])
    const wrong = new Map(
      [...outputs].map(([name, tensor]) => [name, { ...tensor, bytes: tensor.bytes.map((b) => b ^ 64) }]),
    )
    await expect(checkResults(canonical, { ...trial, outputs: wrong })).rejects.toThrow(
      /the layers that Scission finds in this model change "y"/,
    )
  })

  it('that gives other results from run to run cannot be compared, and says so', async () => {
    const analysis = await analysed(
      fileOf(
        model({
          nodes: [node('RandomNormalLike', ['x'], ['r']), node('Add', ['x', 'r'], ['y'])],
          inputs: [value('x', [2, 3])],
          outputs: [y],
        }),
      ),
    )
    expect(analysis.structure.warnings).toEqual([expect.stringContaining('differ from run to run')])
  })
})
