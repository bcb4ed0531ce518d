/** Laws that hold for every graph: checked on small random ones that ONNX Runtime runs. */
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildBoundaries, frontiers } from '../../shared/onnx/structure/boundaries.ts'
import { writeRange } from '../../shared/onnx/index.ts'
import type { ModelProto, NodeProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { frontierAt, reachable, singleCutTensors } from './support/brute-force.ts'
import { DataType, floats, graph, ints, model, node, value } from './support/build.ts'
import { type Analysed, analysed, declaredNames, fileOf } from './support/models.ts'
import { difference, inputsOf, runFile, runPieces } from './support/run.ts'

const SHAPE = [2, 4]
const RUNS = { numRuns: 40, seed: 20_240_607 }

/** One random choice: an operator and which of the tensors made so far it reads. */
interface Step {
  op: 'unary' | 'binary' | 'dense' | 'split' | 'shape' | 'if' | 'constant'
  which: number
  a: number
  b: number
}

const step: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom<Step['op']>(
    'unary',
    'unary',
    'binary',
    'binary',
    'dense',
    'split',
    'shape',
    'if',
    'constant',
  ),
  which: fc.nat(5),
  a: fc.nat(50),
  b: fc.nat(50),
})

const UNARY = ['Relu', 'Sigmoid', 'Tanh', 'Neg', 'Abs', 'Identity']
const BINARY = ['Add', 'Mul', 'Sub', 'Max', 'Min', 'Add']

const recipe = fc.record({
  inputs: fc.integer({ min: 1, max: 3 }),
  steps: fc.array(step, { minLength: 1, maxLength: 14 }),
  outputs: fc.array(fc.nat(50), { minLength: 1, maxLength: 4 }),
})

/** Every recipe is a valid model: all tensors have one shape, and each step reads what is there. */
function cook({ inputs, steps, outputs }: { inputs: number; steps: Step[]; outputs: number[] }): ModelProto {
  const tensors = Array.from({ length: inputs }, (_, i) => `in${i}`)
  const pick = (index: number) => tensors[index % tensors.length] ?? 'in0'
  const nodes = steps.flatMap((given, index) => {
    const made = COOKS[given.op](given, `t${index}`, pick(given.a), pick(given.b))
    tensors.push(`t${index}`)
    return made
  })
  const names = [...new Set([...outputs.map(pick), tensors.at(-1) ?? 'in0'])]
  return model({
    nodes,
    inputs: tensors.slice(0, inputs).map((name) => value(name, SHAPE)),
    outputs: names.map((name) => value(name, SHAPE)),
    constants: [floats('w', [4, 4]), floats('bias', SHAPE), ints('halves', [1, 1]), floats('big', [300, 4])],
  })
}

type Cook = (step: Step, out: string, a: string, b: string) => NodeProto[]

const COOKS: Record<Step['op'], Cook> = {
  unary: ({ which }, out, a) => [node(UNARY[which] ?? 'Relu', [a], [out])],
  binary: ({ which }, out, a, b) => [node(BINARY[which] ?? 'Add', [a, b], [out])],
  dense: (_, out, a) => [node('MatMul', [a, 'w'], [`${out}m`]), node('Add', [`${out}m`, 'bias'], [out])],
  split: (_, out, a) => [
    node('Split', [a, 'halves'], [`${out}l`, `${out}r`], { axis: 0 }),
    node('Concat', [`${out}r`, `${out}l`], [out], { axis: 0 }),
  ],
  shape: (_, out, a, b) => [
    node('Shape', [a], [`${out}s`]),
    node('ConstantOfShape', [`${out}s`], [`${out}c`]),
    node('Add', [b, `${out}c`], [out]),
  ],
  if: (_, out, a, b) => {
    const branch = (name: string, other: string) =>
      graph({ nodes: [node('Add', [b, other], [`${out}${name}`])], outputs: [value(`${out}${name}`, SHAPE)] })
    return [
      node('ReduceSum', [a], [`${out}sum`], { keepdims: 0 }),
      node('Cast', [`${out}sum`], [`${out}flag`], { to: BigInt(DataType.BOOL) }),
      node('If', [`${out}flag`], [out], { then_branch: branch('y', a), else_branch: branch('n', 'bias') }),
    ]
  },
  constant: ({ which }, out, a) => [
    node('Neg', ['bias'], [`${out}n`]),
    node('MatMul', ['big', 'w'], [`${out}b`]),
    node('ReduceMax', [`${out}b`], [`${out}m`]),
    node('Add', [`${out}n`, which % 2 ? a : `${out}m`], [out]),
  ],
}

/** Analyses a random model; its folder goes when the test ends. */
function cooked(given: Parameters<typeof cook>[0]): Promise<Analysed> {
  return analysed(fileOf(cook(given)))
}

describe('on random graphs', () => {
  it('the whole canonical model and its pieces compute what the file does', async () => {
    await fc.assert(
      fc.asyncProperty(
        recipe,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
        async (given, at) => {
          const analysis = await cooked(given)
          const count = analysis.structure.layers.length
          const cuts = at.map((share) => Math.round(share * count)).sort((a, b) => a - b)
          const inputs = inputsOf(analysis)
          const expected = await runFile(path.join(analysis.dir, analysis.file), inputs, 'disabled')
          expect(difference(await runPieces(analysis, cuts, inputs, 'disabled'), expected)).toBeLessThan(1e-6)
        },
      ),
      RUNS,
    )
  })

  it('at clean boundaries the pieces equal the optimised whole bit by bit', async () => {
    await fc.assert(
      fc.asyncProperty(recipe, fc.nat(20), async (given, choice) => {
        const analysis = await cooked(given)
        const clean = analysis.structure.boundaries.filter((boundary) => boundary.clean)
        const cut = clean[choice % clean.length]?.k ?? 0
        const inputs = inputsOf(analysis)
        const expected = await runPieces(analysis, [], inputs, 'extended')
        expect(difference(await runPieces(analysis, [cut], inputs, 'extended'), expected)).toBe(0)
      }),
      { ...RUNS, seed: RUNS.seed + 1 },
    )
  })

  it('frontiers, ranges and single-tensor cuts are what their definitions say', async () => {
    await fc.assert(
      fc.asyncProperty(recipe, fc.nat(20), fc.nat(20), async (given, one, other) => {
        const analysis = await cooked(given)
        const { structure, canonical, dir } = analysis
        const count = structure.layers.length
        const sizes = new Map(
          [...structure.inputs, ...structure.layers.flatMap(({ outputs }) => outputs)].map((spec) => [
            spec.name,
            spec.bytes,
          ]),
        )
        for (const { k, tensors, bytes } of structure.boundaries) {
          expect(new Set(tensors)).toEqual(frontierAt(structure, k))
          expect(tensors).toHaveLength(new Set(tensors).size)
          expect(bytes).toBe(tensors.reduce((sum, name) => sum + (sizes.get(name) ?? Number.NaN), 0))
        }
        fc.pre(reachable(structure))
        const single = structure.boundaries.filter((boundary) => boundary.single)
        expect(new Set(single.flatMap(({ tensors }) => tensors))).toEqual(singleCutTensors(structure))
        const [from = 0, to = 0] = [one % (count + 1), other % (count + 1)].sort((a, b) => a - b)
        const file = path.join(dir, 'range.onnx')
        const range = await writeRange(canonical, from, to, file)
        const own = range.onnx ? declaredNames(file).outputs : []
        const made = structure.layers
          .slice(from, to)
          .flatMap(({ outputs }) => outputs.map(({ name }) => name))
        expect(own.every((name) => made.includes(name))).toBe(true)
        expect([...own, ...range.passThrough].sort()).toEqual(
          [...(structure.boundaries[to]?.tensors ?? [])].sort(),
        )
        expect(range.passThrough.every((name) => structure.boundaries[from]?.tensors.includes(name))).toBe(
          true,
        )
        expect(range.onnx === null).toBe(from === to)
      }),
      { ...RUNS, seed: RUNS.seed + 2 },
    )
  })

  it('layers number 0 to N-1, each needs only what comes before, and every output is made once', async () => {
    await fc.assert(
      fc.asyncProperty(recipe, async (given) => {
        const { structure } = await cooked(given)
        const known = new Set(structure.inputs.map(({ name }) => name))
        for (const [index, layer] of structure.layers.entries()) {
          expect(layer.index).toBe(index)
          for (const name of layer.inputs) expect(known.has(name)).toBe(true)
          for (const { name } of layer.outputs) {
            expect(known.has(name)).toBe(false)
            known.add(name)
          }
        }
        for (const { name } of structure.outputs) expect(known.has(name)).toBe(true)
      }),
      { ...RUNS, numRuns: 20, seed: RUNS.seed + 3 },
    )
  })
})

describe('boundaries', () => {
  const chain = (ops: readonly string[]) => ({
    inputs: [{ name: 't0', datatype: 'FP32' as const, shape: [1], bytes: 4 }],
    outputs: [{ name: `t${ops.length}`, datatype: 'FP32' as const, shape: [1], bytes: 4 }],
    layers: ops.map((op, index) => ({
      index,
      name: `${op}${index}`,
      op,
      inputs: [`t${index}`],
      outputs: [{ name: `t${index + 1}`, datatype: 'FP32' as const, shape: [1], bytes: 4 }],
      weightBytes: 0,
      macs: 0,
    })),
  })
  const nothing = { groups: [], unrounded: new Set<string>() }

  it('of a chain hold one tensor each', () => {
    expect(frontiers(chain(['A', 'B']))).toEqual([['t0'], ['t1'], ['t2']])
  })

  it('are clean unless a fused group lies on both sides, and say which', () => {
    const groups = [{ layers: [0, 1], operator: 'FusedConv', quantised: false }]
    const found = buildBoundaries(chain(['Conv', 'Relu', 'MaxPool']), { ...nothing, groups })
    expect(found.map(({ clean }) => clean)).toEqual([true, false, true, true])
    expect(found[1]?.why).toBe('ONNX Runtime runs Conv "Conv0" and Relu "Relu1" as one FusedConv')
    expect(found.every(({ allowed }) => allowed)).toBe(true)
  })

  it('are allowed only at quantised tensors where a model is quantised', () => {
    const ops = [
      'QuantizeLinear',
      'DequantizeLinear',
      'Conv',
      'Relu',
      'QuantizeLinear',
      'DequantizeLinear',
      'Softmax',
    ]
    const found = buildBoundaries(chain(ops), nothing)
    expect(found.map(({ allowed }) => allowed)).toEqual([true, true, false, false, false, true, true, true])
    expect(found[2]?.why).toBe('"t2" is inside a quantisation pattern')
  })

  it('are not clean where half-precision numbers would be rounded', () => {
    const found = buildBoundaries(chain(['Conv', 'Relu']), { ...nothing, unrounded: new Set(['t1']) })
    expect(found[1]).toMatchObject({ clean: false, allowed: true, why: expect.stringContaining('32 bits') })
  })
})
