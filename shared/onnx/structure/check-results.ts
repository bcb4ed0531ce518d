/**
 * Compares what a model computes in several ways, on the input of the trial run: the file as it is, the canonical graph, the
 * same optimised as it is served, and its pieces. What does not compute the same is refused, forbidden or reported here,
 * before anyone asks the model anything.
 *
 * All cuts are tried at once: if the pieces, one after another, compute what the whole does, then no cut changes results.
 * Else the cuts are halved until those are found that do.
 */
import type { Boundary } from '../../contracts/model.ts'
import { coerceError, ScissionError } from '../../platform/errors.ts'
import { tidy } from '../runtime/error-text.ts'
import { formDifference, isFloat, tensorDifference } from '../../tensors/tensor-difference.ts'
import { runFile, runPieces, runWhole, SERVED, type Tensors } from './run-pieces.ts'
import { evenly } from './side-by-side.ts'
import type { CanonicalModel } from './write-range.ts'

/** Largest |a − b| / max(1, max |b|) that counts as rounding. */
const TOLERANCE = 1e-5
/** The same where tensors have half precision: 11 significant bits, and a few roundings. */
const HALF_TOLERANCE = 1e-2
/** For graphs that differ by more than a cut: sums of thousands of terms may be added in another order. */
const OPTIMISED_TOLERANCE = 1e-3
/** The same where layers quantise: ONNX Runtime then computes with integers what the file computes with floats. */
const QUANTISED_TOLERANCE = 5e-2

/** Most comparisons, each of which runs the model once more. */
const MAX_RUNS = 16
/** Safety for large models and slow machines. */
const MAX_RUN_MS = 20_000
const MAX_SEARCH_MS = 30_000
/** A session holds weights as they are in the file, and packed for its kernels. */
const WEIGHT_COPIES = 3
/** Most cuts that are tried at once, evenly chosen: each piece is a session of some milliseconds. */
const MAX_CUTS = 300

export interface Trial {
  /** Path of the model's own file; absent if ONNX Runtime would never end opening it. */
  file?: string | undefined
  inputs: Tensors
  /** What the canonical graph made of them, unoptimised. */
  outputs: Tensors
}

export interface Checked {
  boundaries: Boundary[]
  /** Boundaries at which a cut changes results, each with what it changes. */
  changing: ReadonlyMap<number, string>
  /** For the user: what was not compared, and where ONNX Runtime's own answers differ. */
  warnings: string[]
}

export interface CheckOptions {
  /** Boundaries that are tried alone, because another cut may hide what they change. */
  suspects?: readonly number[]
  /** Of the process. @defaultValue no limit */
  memoryLimitBytes?: number | undefined
  /** By performance.now(): no comparison begins later. @defaultValue no limit */
  until?: number
}

/**
 * @throws ScissionError invalidModel if the canonical graph does not compute what the file does.
 */
export async function checkResults(
  model: CanonicalModel,
  trial: Trial,
  {
    suspects = [],
    memoryLimitBytes = Number.POSITIVE_INFINITY,
    until = Number.POSITIVE_INFINITY,
  }: CheckOptions = {},
): Promise<Checked> {
  const { boundaries, layers } = model.structure
  const tolerance = hasHalves(model) ? HALF_TOLERANCE : TOLERANCE
  const changing = new Map<number, string>()
  const unchecked = (why: string): Checked => ({
    boundaries,
    changing,
    warnings: [`the results of cuts were not compared with the whole model's: ${why}`],
  })
  if (layers.length === 0) return { boundaries, changing, warnings: [] }
  if (WEIGHT_COPIES * model.structure.weightBytes > memoryLimitBytes)
    return unchecked(
      `its weights of ${model.structure.weightBytes} bytes need more memory than the analysis has`,
    )
  const started = performance.now()
  if (started > until) return unchecked('the analysis takes too long')
  const [whole, again] = await runWhole(model, trial.inputs)
  const runMs = performance.now() - started
  if (distance(whole, again).apart > 0) return unchecked('they differ from run to run')
  if (runMs > MAX_RUN_MS) return unchecked(`loading it and two runs take ${Math.round(runMs / 1000)} s`)
  const warnings = await compareWithFile(trial, whole, Math.max(tolerance, OPTIMISED_TOLERANCE))
  const optimised = distance(trial.outputs, whole)
  const quantised = layers.some(({ op }) => /quantize/i.test(op)) ? QUANTISED_TOLERANCE : 0
  if (optimised.apart > Math.max(tolerance, OPTIMISED_TOLERANCE, quantised))
    warnings.push(
      `ONNX Runtime's own optimisations change ${described(optimised)}; Scission serves the optimised model`,
    )
  const search = new CutSearch({ model, inputs: trial.inputs, whole, tolerance, until })
  const inner = boundaries.filter(({ allowed, k }) => allowed && k > 0 && k < layers.length)
  await search.check(inner, suspects)
  if (search.left > 0)
    warnings.push(
      `the results of ${search.left} of ${inner.length} cuts were not compared, to bound the time of the analysis`,
    )
  const checked = boundaries.map((boundary) => search.verdict(boundary))
  return { boundaries: checked, changing: search.changing, warnings }
}

interface CutQuestion {
  model: CanonicalModel
  inputs: Tensors
  whole: Tensors
  tolerance: number
  until: number
}

/** Finds the cuts that change results. */
class CutSearch {
  readonly #asked: CutQuestion
  readonly #doubtful = new Set<number>()
  readonly changing = new Map<number, string>()
  /** Number of cuts that were not compared. */
  left = 0

  constructor(asked: CutQuestion) {
    this.#asked = asked
  }

  async check(boundaries: readonly Boundary[], suspects: readonly number[]): Promise<void> {
    const { model, inputs, whole, tolerance } = this.#asked
    const end = Math.min(this.#asked.until, performance.now() + MAX_SEARCH_MS)
    const chosen = choose(boundaries)
    this.left += boundaries.length - chosen.length
    const alone = suspects.map((k) => ({ cuts: [k], isDoubtful: true }))
    const open = chosen.length > 0 ? [{ cuts: chosen, isDoubtful: false }, ...alone] : []
    let runs = 0
    for (let next = open.shift(); next; next = open.shift()) {
      const { cuts, isDoubtful } = next
      if (runs++ >= MAX_RUNS || performance.now() > end) {
        if (!isDoubtful) this.left += cuts.length
        if (isDoubtful) for (const k of cuts) this.#doubtful.add(k)
        continue
      }
      const found = distance(whole, await runPieces(model, cuts, inputs))
      if (found.apart <= tolerance) continue
      if (cuts.length === 1) this.changing.set(cuts[0]!, described(found))
      else {
        const half = Math.floor(cuts.length / 2)
        open.push(
          { cuts: cuts.slice(0, half), isDoubtful: true },
          { cuts: cuts.slice(half), isDoubtful: true },
        )
      }
    }
  }

  verdict(boundary: Boundary): Boundary {
    const change = this.changing.get(boundary.k)
    if (change !== undefined)
      return { ...boundary, clean: false, allowed: false, why: `a cut here changes ${change}` }
    if (!boundary.clean || !this.#doubtful.has(boundary.k)) return boundary
    return {
      ...boundary,
      clean: false,
      why: 'this cut, or one near it, changes results: it takes too long to find which',
    }
  }
}

/**
 * Compares the layers with the file. A difference is our own fault, or one of ONNX Runtime: in either case the model would be
 * served with wrong numbers. Some files ONNX Runtime does not load as they are, such as one with shapes in external data.
 * @returns what to tell the user. @throws ScissionError invalidModel if they differ.
 */
async function compareWithFile(trial: Trial, whole: Tensors, tolerance: number): Promise<string[]> {
  const { file, inputs } = trial
  if (file === undefined)
    return [
      'the layers were not compared with the file: ONNX Runtime does not tell overloads of a function apart inside functions',
    ]
  let outputs = trial.outputs
  const original = await runFile(file, inputs, { level: 'disabled' })
    .catch(() => {
      // ONNX Runtime has no kernel for some operators that it removes, as copies of 4-bit numbers.
      outputs = whole
      return runFile(file, inputs, SERVED)
    })
    .catch(coerceError)
  if (original instanceof Error)
    return [
      `the layers were not compared with the file, which ONNX Runtime does not run: ${tidy(original.message)}`,
    ]
  const computed = [...(original[0] ?? [])].filter(([name]) => !inputs.has(name))
  const found = distance(new Map(computed), outputs)
  if (found.apart <= tolerance) return []
  throw new ScissionError(
    'invalidModel',
    `the layers that Scission finds in this model change ${described(found)}, so it does not serve it; please report the model`,
    { tensor: found.name },
  )
}

function hasHalves({ structure: { inputs, layers } }: CanonicalModel): boolean {
  const tensors = [...inputs, ...layers.flatMap(({ outputs }) => outputs)]
  return tensors.some(({ datatype }) => datatype === 'FP16' || datatype === 'BF16')
}

interface Distance {
  name: string
  /** |a − b| / max(1, max |b|), b the expected tensor; Infinity for another type or shape, and for unequal integers or texts. */
  apart: number
}

/** The tensor that differs most. */
function distance(expected: Tensors, actual: Tensors): Distance {
  let worst: Distance = { name: '', apart: 0 }
  for (const [name, tensor] of expected) {
    const other = actual.get(name)
    let apart = Number.POSITIVE_INFINITY
    if (other && formDifference(tensor, other) === undefined) {
      const { maxAbsDiff, maxAbs } = tensorDifference(tensor, other)
      if (maxAbsDiff === 0 || isFloat(tensor.datatype)) apart = maxAbsDiff / Math.max(1, maxAbs)
    }
    if (apart > worst.apart) worst = { name, apart }
  }
  return worst
}

function described({ name, apart }: Distance): string {
  return Number.isFinite(apart) ? `"${name}" by ${apart.toPrecision(2)}` : `"${name}"`
}

/** At most MAX_CUTS boundaries, ascending: clean ones first, evenly. */
function choose(boundaries: readonly Boundary[]): number[] {
  const clean = evenly(
    boundaries.filter((boundary) => boundary.clean),
    MAX_CUTS,
  )
  const others = evenly(
    boundaries.filter((boundary) => !boundary.clean),
    MAX_CUTS - clean.length,
  )
  return [...clean, ...others].map(({ k }) => k).sort((a, b) => a - b)
}
