/** `scission calibrate`: measures the accuracy loss of codecs at every cut, and shows the best plan under each bound on it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, Option } from 'commander'
import type { Calibration, CalibrationCell } from '../../../shared/contracts/calibration.ts'
import type { InputShapes, TensorSpec } from '../../../shared/contracts/common.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'
import { NETWORK_NAMES, type NetworkName } from '../../../shared/contracts/network-presets.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { formatBytes, formatMs } from '../../terminal/format.ts'
import { createProgress } from '../../terminal/progress.ts'
import { renderTable } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { readBytes, readJson } from '../files.ts'
import { wholeNumber, wholeNumberFrom, wholeNumbers } from '../numbers.ts'

interface CalibrateOptions {
  input?: string[]
  labels?: string
  madeUp?: number
  seed: number
  on?: string
  codecs?: string
  boundaries?: number[]
  shapes?: string
  network?: NetworkName
}

interface StoredOptions {
  model?: string
  shapes?: string
  network?: NetworkName
}

const POLL_MS = 250
/** Bounds on the accuracy loss for which the best plan is shown. */
const LOSS_BOUNDS = [0, 0.01, 0.02, 0.05, 0.1, 0.2]

export function addCalibrateCommand(program: Command, context: () => Context): void {
  program
    .command('calibrate <model>')
    .description('run a model with every codec at every single-tensor cut on sample inputs')
    .option('--input <name=file...>', 'raw little-endian bytes of an input, sample behind sample')
    .option('--labels <file>', 'JSON list of one class index per sample')
    .option(
      '--made-up <n>',
      'n made-up samples instead: bytes and errors only, no word on accuracy',
      wholeNumberFrom(1),
    )
    .option('--seed <n>', 'of made-up samples', wholeNumber, 1)
    .option('--on <resource>', 'the resource that runs it; default: the first alive')
    .option('--codecs <names>', 'only these, comma-separated: q8,q4c-zstd')
    .option('--boundaries <list>', 'only these cuts: 4,18; default: every clean one', wholeNumbers)
    .option('--shapes <shapes>', 'input:1x3x224x224,other:1x16')
    .addOption(
      new Option('--network <preset>', 'what the bounds would buy on another network').choices(NETWORK_NAMES),
    )
    .action(async (model: string, options: CalibrateOptions) => {
      const { print } = context()
      const inputShapes = options.shapes === undefined ? undefined : parseInputShapes(options.shapes)
      const done = await calibrate(context(), model, options, inputShapes)
      const bought = await whatBoundsBuy(context(), { model, inputShapes, network: options.network })
      print({ calibration: done, bounds: bought }, () => calibrationText(done, bought))
    })
  program
    .command('calibrations [id]')
    .description('calibrations on record; with an id, what that one found and what each bound would buy now')
    .option('--model <model>', 'only of this model')
    .option('--shapes <shapes>', 'what it was made for, where the model has no shapes of its own')
    .addOption(
      new Option('--network <preset>', 'what the bounds would buy on another network').choices(NETWORK_NAMES),
    )
    .action(async (id: string | undefined, options: StoredOptions) => {
      const { benchmark, print } = context()
      if (id === undefined) {
        const list = await benchmark.calibrations(options.model === undefined ? {} : { model: options.model })
        return print(list, () => calibrationsTable(list))
      }
      const record = await benchmark.calibration(id)
      const inputShapes = options.shapes === undefined ? undefined : parseInputShapes(options.shapes)
      const bought = await whatBoundsBuy(context(), {
        model: record.model,
        inputShapes,
        network: options.network,
      })
      print({ calibration: record, bounds: bought }, () => calibrationText(record, bought))
    })
}

const calibrationText = (calibration: Calibration, bought: readonly Bought[]) =>
  [
    cellsTable(calibration),
    ...(calibration.baseAccuracy === undefined
      ? []
      : [`accuracy without a codec: ${percent(calibration.baseAccuracy)}`]),
    ...calibration.notes.map((note) => `note: ${note}`),
    '',
    boundsTable(bought),
  ].join('\n')

function calibrationsTable(list: readonly Omit<Calibration, 'cells'>[]): string {
  if (list.length === 0) return 'no calibrations: scission calibrate MODEL'
  const rows = list.map(({ id, model, resource, state, samples, sampleSource, codecs, createdAt }) => [
    id,
    model.slice(0, 12),
    resource,
    state,
    `${samples} ${sampleSource}`,
    codecs.length,
    createdAt,
  ])
  return renderTable(['calibration', 'model', 'on', 'state', 'samples', 'codecs', 'begun'], rows)
}

async function calibrate(
  { benchmark }: Context,
  model: string,
  options: CalibrateOptions,
  inputShapes: InputShapes | undefined,
): Promise<Calibration> {
  if ((options.input === undefined) === (options.madeUp === undefined))
    throw new ScissionError('badRequest', 'give sample inputs with --input, or --made-up: one of the two')
  const { inputs } = await benchmark.structure(model, inputShapes)
  const samples = await Promise.all((options.input ?? []).map((text) => readSamples(inputs, text)))
  const { madeUp, seed, labels } = options
  const request = {
    model,
    ...(inputShapes && { inputShapes }),
    ...(options.on !== undefined && { resource: options.on }),
    ...(options.codecs !== undefined && { codecs: options.codecs.split(',') }),
    ...(options.boundaries !== undefined && { boundaries: options.boundaries }),
    ...(madeUp !== undefined && { madeUp: { samples: madeUp, seed } }),
    ...(labels !== undefined && { labels: (await readJson('--labels', labels)) as number[] }),
  }
  let record = await benchmark.startCalibration(request, samples)
  const display = createProgress()
  try {
    while (record.state === 'waiting' || record.state === 'active') {
      display.update(record.resource, record.progress)
      await sleep(POLL_MS)
      record = await benchmark.calibration(record.id)
    }
  } finally {
    display.stop()
  }
  if (record.state === 'completed') return record
  throw new ScissionError(
    'internal',
    `calibration ${record.id} ${record.state}: ${record.error ?? 'no reason'}`,
  )
}

async function readSamples(specs: readonly TensorSpec[], text: string): Promise<Tensor> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new ScissionError('badRequest', `--input must be name=file, got: ${text}`)
  const name = text.slice(0, equals)
  const spec = specs.find((one) => one.name === name)
  if (!spec) {
    const known = specs.map((one) => one.name).join(', ')
    throw new ScissionError('invalidTensor', `unknown input "${name}"; known: ${known}`)
  }
  const bytes = await readBytes('--input', text.slice(equals + 1))
  if (bytes.byteLength === 0 || bytes.byteLength % spec.bytes !== 0) {
    throw new ScissionError(
      'invalidTensor',
      `--input ${name}: ${bytes.byteLength} bytes are no whole number of samples of ${spec.bytes} bytes`,
    )
  }
  return { ...spec, shape: [bytes.byteLength / spec.bytes, ...spec.shape], bytes }
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`

function cellsTable({ cells, labelled }: Calibration): string {
  const rows = cells.map((cell) => [
    cell.boundary,
    cell.codec,
    percent(cell.bytesRatio),
    `${percent(cell.top1Agreement)} (≥ ${percent(cell.top1Bounds.low)})`,
    ...(labelled ? [accuracyOf(cell)] : []),
    `${cell.relativeError.toPrecision(3)} (≤ ${cell.relativeErrorBound.toPrecision(3)})`,
    cell.lossBound >= 1 ? 'not bounded' : percent(cell.lossBound),
  ])
  const head = [
    'cut',
    'codec',
    'bytes',
    'top-1 agreement',
    ...(labelled ? ['accuracy'] : []),
    'relative error',
  ]
  return renderTable([...head, 'loss bound'], rows)
}

const accuracyOf = ({ accuracy, accuracyBounds }: CalibrationCell) =>
  accuracy === undefined ? '' : `${percent(accuracy)} (≥ ${percent(accuracyBounds?.low ?? 0)})`

interface Bought {
  maxAccuracyLoss: number
  plan?: Plan
  /** The reason if there is no plan. */
  reason?: string
}

/** The best plan under each bound. Without profiles, links or a planner there is none; then the reason is shown. */
async function whatBoundsBuy(
  { planner }: Context,
  asked: { model: string; inputShapes: InputShapes | undefined; network: NetworkName | undefined },
): Promise<Bought[]> {
  const { model, inputShapes, network } = asked
  const bought: Bought[] = []
  for (const maxAccuracyLoss of LOSS_BOUNDS) {
    try {
      const query = {
        model,
        top: 1,
        maxAccuracyLoss,
        ...(inputShapes !== undefined && { inputShapes }),
        ...(network !== undefined && { network }),
      }
      const { plans } = await planner.plans(query)
      bought.push({ maxAccuracyLoss, ...(plans[0] && { plan: plans[0] }) })
    } catch (thrown) {
      if (!(thrown instanceof ScissionError)) throw thrown
      bought.push({ maxAccuracyLoss, reason: thrown.message })
    }
  }
  return bought
}

function boundsTable(bought: readonly Bought[]): string {
  if (bought.every(({ plan }) => plan === undefined))
    return `what the bounds would buy is not known: ${bought[0]?.reason ?? 'no plan fits'}`
  const rows = bought.map(({ maxAccuracyLoss, plan }) => {
    if (!plan) return [`≤ ${percent(maxAccuracyLoss)}`, 'none', '', '', '']
    const stages = plan.stages.map(({ resource, from, to }) => `${resource}:${from}-${to}`).join(' ')
    const codecs = plan.transfers.map(({ codec, boundary }) => `${codec} at ${boundary}`).join(', ')
    return [
      `≤ ${percent(maxAccuracyLoss)}`,
      stages,
      codecs || 'native',
      formatBytes(plan.bytes),
      formatMs(plan.predictedMs),
    ]
  })
  return renderTable(['accuracy lost', 'best plan', 'codecs', 'sent', 'predicted'], rows)
}
