/**
 * Runs a model with every codec at every chosen boundary, as the job of a throw-away process, because models are not
 * trusted (shared/platform/processes/limited-child.ts).
 *
 * The boundaries cut the model into pieces, each a session. A sample passes through all pieces once, which gives the tensor
 * of every boundary; then, for each boundary and lossy codec, the tensor passes through the codec and the later pieces.
 * Codecs that differ only in their entropy part decode to the same tensor and share that run.
 */
import { readFile } from 'node:fs/promises'
import type { InferenceSession } from 'onnxruntime-node'
import { codecName, losesNothing, parseCodec } from '../../../../shared/codec/index.ts'
import { decodeTensor, encodeTensor } from '../../../../shared/platform/tensor-codecs.ts'
import type { CalibrationCell, CodecName } from '../../../../shared/contracts/calibration.ts'
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { InputHints } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress } from '../../../../shared/contracts/job-progress.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import { isLong, typedView } from '../../../../shared/oip/typed-view.ts'
import { modelInputs } from '../../../../shared/onnx/sample-inputs/model-inputs.ts'
import { fromOrt, toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { createSession } from '../../serving/executor/ort-session.ts'
import { runError } from '../../serving/executor/run-error.ts'
import type { FetchedSamples } from '../samples/fetch-samples.ts'
import { fetchedSamples } from '../samples/read-fetched.ts'
import { cellOf, relativeError, type Seen, type Verdict } from './calibration-cells.ts'

export interface CalibrateInput {
  /** Consecutive layer ranges from 0 to the end; each but the first begins at a boundary. */
  pieces: { from: number; path: string }[]
  boundaries: number[]
  codecs: CodecName[]
  inputs: TensorSpec[]
  output: string
  options: RuntimeOptions
  samples: { kind: 'file'; path: string; count: number } | { kind: 'made-up'; count: number; seed: number }
  inputHints?: InputHints | undefined
  /** The model's own samples, for inputs that are made up otherwise; undefined if it has none. */
  modelSamples?: FetchedSamples | undefined
  labels?: number[] | undefined
}

export interface Calibrated {
  cells: CalibrationCell[]
  baseAccuracy?: number
}

type Tensors = ReadonlyMap<string, Tensor>
interface Piece {
  from: number
  session: InferenceSession
}

const MAX_DECODED_BYTES = Number.MAX_SAFE_INTEGER

/** The job itself. */
export async function run(
  input: CalibrateInput,
  report: (progress: BenchmarkProgress) => void,
): Promise<Calibrated> {
  const startedAt = performance.now()
  report({ fraction: 0, step: 'loading' })
  const pieces: Piece[] = []
  for (const { from, path } of input.pieces)
    pieces.push({ from, session: await createSession(path, input.options) })
  const seen = new Map<string, Seen[]>()
  let right = 0
  const { count } = input.samples
  const sample = await openSamples(input)
  for (let index = 0; index < count; index += 1) {
    const label = input.labels?.[index]
    const before = await calibrateSample(input, pieces, sample(index), label, seen)
    if (label === before.top) right += 1
    const fraction = (index + 1) / count
    const remainingMs = Math.round(((performance.now() - startedAt) * (1 - fraction)) / fraction)
    report({ fraction: Math.min(0.99, fraction), step: `sample ${index + 1} of ${count}`, remainingMs })
  }
  const madeUp = input.samples.kind === 'made-up'
  const cells = input.boundaries.flatMap((boundary) =>
    input.codecs.map((codec) =>
      cellOf(boundary, codec, seen.get(`${boundary} ${codec}`) ?? [], {
        madeUp,
        lossless: losesNothing(codec),
      }),
    ),
  )
  return { cells, ...(input.labels && { baseAccuracy: right / count }) }
}

/** Adds the observations of one sample to `seen`. @returns the verdict of the uncompressed model. */
async function calibrateSample(
  input: CalibrateInput,
  pieces: readonly Piece[],
  given: Tensors,
  label: number | undefined,
  seen: Map<string, Seen[]>,
): Promise<Verdict> {
  const atBoundary = new Map<number, Tensors>()
  let have = given
  for (const piece of pieces) {
    atBoundary.set(piece.from, have)
    have = await runPiece(piece, have)
  }
  const before = verdictOf(have, input.output)
  for (const boundary of input.boundaries) {
    const [tensor] = atBoundary.get(boundary)?.values() ?? []
    if (!tensor) throw new ScissionError('internal', `no tensor was seen at boundary ${boundary}`)
    const rest = pieces.filter((piece) => piece.from >= boundary)
    const verdicts = new Map<string, Verdict>()
    for (const codec of input.codecs) {
      const encoded = encodeTensor(tensor, codec)
      const lossy = codecName(parseCodec(codec).lossy, 'none')
      const after = verdicts.get(lossy) ?? (await answerWith(tensor, lossy, rest, input.output, before))
      verdicts.set(lossy, after)
      const one: Seen = {
        rawBytes: tensor.bytes.byteLength,
        wireBytes: encoded.bytes.byteLength,
        relativeError: relativeError(after, before),
        agrees: after.top === before.top,
        ...(label !== undefined && { right: { before: before.top === label, after: after.top === label } }),
      }
      const key = `${boundary} ${codec}`
      seen.set(key, [...(seen.get(key) ?? []), one])
    }
  }
  return before
}

async function answerWith(
  tensor: Tensor,
  lossy: CodecName,
  rest: readonly Piece[],
  output: string,
  before: Verdict,
): Promise<Verdict> {
  const encoded = encodeTensor(tensor, lossy)
  if (encoded === tensor) return before
  const decoded = decodeTensor(encoded, MAX_DECODED_BYTES)
  let have: Tensors = new Map([[decoded.name, decoded]])
  for (const piece of rest) have = await runPiece(piece, have)
  return verdictOf(have, output)
}

/** @returns the piece's outputs by name. */
async function runPiece({ session, from }: Piece, have: Tensors): Promise<Tensors> {
  const feeds = session.inputNames.map((name) => {
    const tensor = have.get(name)
    if (tensor) return [name, toOrt(tensor)] as const
    throw new ScissionError('internal', `layer ${from} onward takes "${name}", which nothing before it made`)
  })
  try {
    const made = await session.run(Object.fromEntries(feeds))
    const outputs = session.outputNames.flatMap((name) => {
      const tensor = made[name]
      return tensor ? [[name, fromOrt(name, tensor)] as const] : []
    })
    return new Map(outputs)
  } catch (thrown) {
    throw runError(coerceError(thrown))
  }
}

function verdictOf(have: Tensors, output: string): Verdict {
  const tensor = have.get(output)
  if (!tensor) throw new ScissionError('internal', `the model made no output "${output}"`)
  const view = typedView(tensor)
  const values = Float64Array.from<number | bigint>(isLong(view) ? view : view, Number)
  let top = -1
  values.forEach((value, index) => {
    if (value > (values[top] ?? Number.NEGATIVE_INFINITY)) top = index
  })
  return { top, values }
}

/** Samples by index: made up, or read from a file that holds them one after another, each in the order of the inputs. */
async function openSamples({
  inputs,
  samples,
  inputHints,
  modelSamples,
}: CalibrateInput): Promise<(index: number) => Tensors> {
  const named = (tensors: readonly Tensor[]) => new Map(tensors.map((tensor) => [tensor.name, tensor]))
  if (samples.kind === 'made-up') {
    const own = fetchedSamples(modelSamples)
    return (index) => named(modelInputs({ inputs, inputHints }, own, samples.seed + index))
  }
  const bytes = new Uint8Array(await readFile(samples.path))
  const each = inputs.reduce((sum, spec) => sum + spec.bytes, 0)
  if (bytes.byteLength !== each * samples.count) {
    throw new ScissionError(
      'internal',
      `the samples take ${bytes.byteLength} bytes, ${samples.count} of ${each} were announced`,
    )
  }
  return (index) => {
    let at = index * each
    return named(
      inputs.map(({ name, datatype, shape, bytes: size }) => {
        const tensor = { name, datatype, shape, bytes: bytes.slice(at, at + size) }
        at += size
        return tensor
      }),
    )
  }
}
