/**
 * Damaged files: the part that runs inside services (reading, describing, checking) never crashes, never hangs and
 * never believes a length. SCISSION_FUZZ=20000 runs as many as the issue asks for.
 */
import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ScissionError } from '../../shared/platform/errors.ts'
import { loadGraph } from '../../shared/onnx/canonical/working-graph.ts'
import { analyseInChild, describeModel } from '../../shared/onnx/index.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { DataType, encode, floats, graph, ints, model, node, value } from './support/build.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../support/test-models.ts'
import { fileOf, NO_ID, temporaryFolder } from './support/models.ts'

const RUNS = Number(process.env['SCISSION_FUZZ'] ?? 600)
const SEED = 20_240_607

/** A little of everything: bodies, constants of several kinds, symbolic dimensions, strings, attributes. */
function sample(): Uint8Array {
  const body = graph({
    nodes: [node('Constant', [], ['w'], { value: floats('', [20, 20]) }), node('MatMul', ['h', 'w'], ['z'])],
    outputs: [value('z', ['n', 20])],
  })
  return encode(
    model({
      nodes: [
        node('Relu', ['x'], ['h']),
        node('Shape', ['h'], ['s']),
        node('If', ['flag'], ['z'], { then_branch: body, else_branch: body }),
        node('Reshape', ['z', 's'], ['r'], { allowzero: 0 }),
        node('Add', ['r', 'b'], ['y']),
      ],
      inputs: [value('x', ['n', 20]), value('flag', [], DataType.BOOL)],
      outputs: [value('y', ['n', 20])],
      constants: [floats('b', [20]), floats('large', [30, 20]), ints('i', [1, -2, 300])],
    }),
  )
}

const OWN = ['digits-cnn.onnx', 'loop-cells.onnx', 'odd-names.onnx', 'decoder-fp16/model.onnx']
const THIRD_PARTY = [
  'mnist-8_cnn.onnx',
  'light_bvlc_alexnet.onnx',
  'lstm_loop_tiny.onnx',
  'tiny_llama_fp16_extdata/model.onnx',
]
const filesOf = (files: readonly string[]) => files.map((file) => fs.readFileSync(file))

type Mutation =
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'set'; at: number; byte: number }
  | { kind: 'length'; at: number }
  | { kind: 'cut'; at: number }
  | { kind: 'remove'; at: number; count: number }
  | { kind: 'repeat'; at: number; count: number }

const where = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: where, bit: fc.nat(7) }),
  fc.record({
    kind: fc.constant('set' as const),
    at: where,
    byte: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x3a),
  }),
  fc.record({ kind: fc.constant('length' as const), at: where }),
  fc.record({ kind: fc.constant('cut' as const), at: where }),
  fc.record({ kind: fc.constant('remove' as const), at: where, count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('repeat' as const), at: where, count: fc.integer({ min: 1, max: 400 }) }),
)

/** Structure sits at the start and the end of a file, weights in the middle: half of the places are near the ends. */
function placeIn(bytes: Uint8Array, share: number): number {
  if (share < 0.25) return Math.floor(share * 4 * Math.min(2000, bytes.length))
  if (share < 0.5) return bytes.length - 1 - Math.floor((share - 0.25) * 4 * Math.min(2000, bytes.length))
  return Math.floor((share - 0.5) * 2 * bytes.length)
}

function mutate(bytes: Uint8Array, given: Mutation): Uint8Array {
  const at = placeIn(bytes, given.at)
  const before = bytes.subarray(0, at)
  const here = bytes[at] ?? 0
  const after = bytes.subarray(at + 1)
  if (given.kind === 'flip') return Buffer.concat([before, Uint8Array.of(here ^ (1 << given.bit)), after])
  if (given.kind === 'set') return Buffer.concat([before, Uint8Array.of(given.byte), after])
  if (given.kind === 'length')
    return Buffer.concat([before, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f), after])
  if (given.kind === 'cut') return before
  if (given.kind === 'remove') return Buffer.concat([before, bytes.subarray(at + given.count)])
  const piece = bytes.subarray(at, at + 16)
  return Buffer.concat([before, ...Array.from({ length: given.count }, () => piece), bytes.subarray(at)])
}

/** A source by its index and what is done to it: short enough to print. */
const damaged = (sources: readonly Uint8Array[]) =>
  fc.tuple(fc.nat(sources.length - 1), fc.array(mutation, { minLength: 1, maxLength: 4 }))

/** Anything but a refusal of ours is a bug. */
function refusal(thrown: unknown): void {
  if (!(thrown instanceof ScissionError)) throw thrown
}

describe('damaged files', () => {
  const SLOW = { timeout: 600_000 }
  it('are described or refused, quickly and in little memory', SLOW, () =>
    describeDamaged([sample(), ...filesOf(OWN.map(ownFile))]),
  )
  it('are so too when made from models of other projects', { ...SLOW, ...needsFiles(...THIRD_PARTY) }, () =>
    describeDamaged(filesOf(THIRD_PARTY.map(thirdPartyFile))),
  )

  async function describeDamaged(sources: readonly Uint8Array[]): Promise<void> {
    const dir = temporaryFolder()
    const file = path.join(dir, 'model.onnx')
    const before = process.memoryUsage()
    let slowest = 0
    await fc.assert(
      fc.asyncProperty(damaged(sources), async ([index, mutations]) => {
        fs.writeFileSync(file, mutations.reduce(mutate, sources[index]!))
        const start = process.cpuUsage()
        await describeModel(file).catch(refusal)
        try {
          loadGraph(dir, 'model.onnx', undefined)
        } catch (error) {
          refusal(error)
        }
        const { user, system } = process.cpuUsage(start)
        slowest = Math.max(slowest, (user + system) / 1000)
      }),
      { numRuns: RUNS, seed: SEED },
    )
    const after = process.memoryUsage()
    console.log(`${RUNS} damaged files: the slowest took ${slowest.toFixed(0)} ms of CPU time`)
    expect(slowest).toBeLessThan(1000)
    expect(after.rss - before.rss).toBeLessThan(300 * 1024 * 1024)
  }

  it('are analysed or refused in the throw-away process', async () => {
    const bytes = sample()
    const files = fc.sample(
      fc.array(mutation, { minLength: 1, maxLength: 2 }).map((mutations) => mutations.reduce(mutate, bytes)),
      { numRuns: 6, seed: SEED },
    )
    const results = files.map((content) =>
      analyseInChild({
        ...fileOf(content),
        model: NO_ID,
        timeoutMs: PATIENCE_MS,
        memoryLimitBytes: 1024 * 1024 * 1024,
        inputShapes: { x: [2, 20], flag: [] },
      }).catch(refusal),
    )
    await Promise.all(results)
  })
})
