/** `scission calibrate`: measures the accuracy loss of codecs at every cut, and shows the best plan under each bound on it. */
import type { Command } from 'commander'
import type { BenchmarkClient } from '../../../shared/client/benchmark.ts'
import type { PlannerClient } from '../../../shared/client/planner.ts'
import type { Calibration, CalibrationCell } from '../../../shared/contracts/calibration.ts'
import type { InputShapes, TensorSpec } from '../../../shared/contracts/common.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { NetworkName } from '../../../shared/contracts/network-presets.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { pollUntil } from '../../steps/poll-until.ts'
import { bytesColumn, msColumn, shareColumn } from '../../terminal/columns.ts'
import { formatShare } from '../../terminal/format.ts'
import { createProgress } from '../../terminal/progress.ts'
import { type Table, tableOf, tableText } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { inputFile, readBytes, readJson } from '../files.ts'
import { wholeNumber, wholeNumberFrom, wholeNumbers } from '../numbers.ts'
import { csvOption, networkOption, shapesOption } from '../common-options.ts'
import { namingOptions, type OptionHints } from '../option-errors.ts'

/** Conditions of the plans that the bounds on the accuracy loss would buy. */
interface BoundsOptions {
  shapes?: InputShapes
  network?: NetworkName
}

interface CalibrateOptions extends BoundsOptions {
  input?: string[]
  labels?: string
  madeUp?: number
  seed: number
  on?: string
  codecs?: string
  boundaries?: number[]
}

const POLL_MS = 250
/** Bounds on the accuracy loss for which the best plan is shown. */
const LOSS_BOUNDS = [0, 0.01, 0.02, 0.05, 0.1, 0.2]

const HINTS: OptionHints = {
  'madeUp.samples': { flag: '--made-up', expected: 'a whole number from 1 to 1000', example: '20' },
  'madeUp.seed': { flag: '--seed', expected: 'a whole number, 0 or more', example: '1' },
  codecs: { flag: '--codecs', expected: 'names of codecs', example: 'q8,q4c-zstd' },
  boundaries: { flag: '--boundaries', expected: 'numbers of boundaries', example: '4,18' },
  labels: { flag: '--labels', expected: 'a JSON list of one class index per sample', example: 'labels.json' },
  resource: { flag: '--on', expected: 'the name of a resource', example: 'edge' },
}

export function defineCalibrate(command: Command, context: Context): void {
  command
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
    .addOption(shapesOption())
    .addOption(networkOption('what the bounds would buy on another network'))
    .addOption(csvOption())
    .action(async (model: string, options: CalibrateOptions) => {
      const calibration = await namingOptions(HINTS, () => calibrate(context.benchmark, model, options))
      context.printTable(
        await withBounds(context.planner, calibration, model, options),
        boundsCells,
        calibrationText,
      )
    })
}

export function defineCalibrations(command: Command, context: Context): void {
  command
    .option('--model <model>', 'only of this model')
    .addOption(shapesOption('what it was made for, where the model has no shapes of its own'))
    .addOption(networkOption('what the bounds would buy on another network'))
    .addOption(csvOption())
    .action(async (id: string | undefined, options: BoundsOptions & { model?: string }) => {
      const { benchmark, planner, printTable } = context
      if (id === undefined)
        return printTable(await benchmark.calibrations({ model: options.model }), calibrationsTable)
      // The service would say which form its path has.
      if (!/^[0-9a-f]{12}-[0-9a-f]{12}$/.test(id))
        throw new ScissionError('notFound', `unknown calibration "${id}"; scission calibrations lists them`)
      const calibration = await benchmark.calibration(id)
      const found = await withBounds(planner, calibration, calibration.model, options)
      return printTable(found, boundsCells, calibrationText)
    })
}

interface CalibrationWithBounds {
  calibration: Calibration
  bounds: Bought[]
}

const boundsCells = ({ calibration }: CalibrationWithBounds) => cellsTable(calibration)

const calibrationText = ({ calibration, bounds }: CalibrationWithBounds, cells: Table) =>
  [
    tableText(cells),
    ...(calibration.baseAccuracy === undefined
      ? []
      : [`accuracy without a codec: ${percent(calibration.baseAccuracy)}`]),
    ...calibration.notes.map((note) => `note: ${note}`),
    '',
    boundsText(bounds),
  ].join('\n')

const calibrationsTable = (list: readonly Omit<Calibration, 'cells'>[]): Table =>
  tableOf(
    list,
    {
      calibration: ({ id }) => id,
      model: ({ model }) => ({ text: model.slice(0, 12), value: model }),
      on: ({ resource }) => resource,
      state: ({ state }) => state,
      samples: ({ samples, sampleSource }) => `${samples} ${sampleSource}`,
      codecs: ({ codecs }) => codecs.length,
      begun: ({ createdAt }) => createdAt,
    },
    {
      ifEmpty: 'no calibrations: scission calibrate MODEL',
      expendable: ['begun', 'codecs', 'samples', 'model'],
    },
  )

async function calibrate(
  benchmark: BenchmarkClient,
  model: string,
  options: CalibrateOptions,
): Promise<Calibration> {
  const { madeUp, seed, labels, shapes } = options
  if ((options.input === undefined) === (madeUp === undefined))
    throw new ScissionError('badRequest', 'give sample inputs with --input, or --made-up: one of the two')
  const { inputs } = await benchmark.structure(model, shapes)
  const samples = await Promise.all((options.input ?? []).map((text) => readSamples(inputs, text)))
  const request = {
    model,
    inputShapes: shapes,
    resource: options.on,
    codecs: options.codecs?.split(','),
    boundaries: options.boundaries,
    madeUp: madeUp === undefined ? undefined : { samples: madeUp, seed },
    labels: labels === undefined ? undefined : ((await readJson('--labels', labels)) as number[]),
  }
  const { id } = await benchmark.startCalibration(request, samples)
  const display = createProgress()
  const shown = async () => {
    const record = await benchmark.calibration(id)
    display.update(record.resource, record.progress)
    return record
  }
  const isOver = ({ state }: Calibration) => state !== 'waiting' && state !== 'active'
  const record = await pollUntil(shown, isOver, { everyMs: POLL_MS }).finally(() => display.stop())
  if (record.state === 'completed') return record
  throw new ScissionError('internal', `calibration ${id} ${record.state}: ${record.error ?? 'no reason'}`)
}

async function readSamples(specs: readonly TensorSpec[], text: string): Promise<Tensor> {
  const { spec, file } = inputFile(text, specs)
  const bytes = await readBytes('--input', file)
  if (bytes.byteLength === 0 || bytes.byteLength % spec.bytes !== 0) {
    throw new ScissionError(
      'invalidTensor',
      `--input ${spec.name}: ${bytes.byteLength} bytes are no whole number of samples of ${spec.bytes} bytes`,
    )
  }
  return { ...spec, shape: [bytes.byteLength / spec.bytes, ...spec.shape], bytes }
}

const percent = formatShare

const cellsTable = ({ cells, labelled }: Calibration): Table =>
  tableOf(
    cells,
    {
      cut: ({ boundary }) => boundary,
      codec: ({ codec }) => codec,
      bytes: shareColumn(({ bytesRatio }) => bytesRatio),
      'top-1 agreement': (cell) => ({
        text: `${percent(cell.top1Agreement)} (≥ ${percent(cell.top1Bounds.low)})`,
        value: cell.top1Agreement,
      }),
      ...(labelled && { accuracy: accuracyOf }),
      'relative error': (cell) => ({
        text: `${cell.relativeError.toPrecision(3)} (≤ ${cell.relativeErrorBound.toPrecision(3)})`,
        value: cell.relativeError,
      }),
      'loss bound': ({ lossBound }) => ({
        text: lossBound >= 1 ? 'not bounded' : percent(lossBound),
        value: lossBound,
      }),
    },
    { expendable: ['relative error', 'top-1 agreement'] },
  )

const accuracyOf = ({ accuracy, accuracyBounds }: CalibrationCell) =>
  accuracy === undefined
    ? ''
    : { text: `${percent(accuracy)} (≥ ${percent(accuracyBounds?.low ?? 0)})`, value: accuracy }

interface Bought {
  maxAccuracyLoss: number
  plan?: Plan
  /** The reason if there is no plan. */
  reason?: string
}

/** Adds the best plan under each bound. Without profiles, links or a planner there is none; then the reason is shown. */
async function withBounds(
  planner: PlannerClient,
  calibration: Calibration,
  model: string,
  { shapes, network }: BoundsOptions,
): Promise<CalibrationWithBounds> {
  const bounds: Bought[] = []
  for (const maxAccuracyLoss of LOSS_BOUNDS) {
    try {
      const query = { model, top: 1, maxAccuracyLoss, inputShapes: shapes, network }
      const { plans } = await planner.plans(query)
      bounds.push({ maxAccuracyLoss, plan: plans[0] })
    } catch (thrown) {
      if (!(thrown instanceof ScissionError)) throw thrown
      bounds.push({ maxAccuracyLoss, reason: thrown.message })
    }
  }
  return { calibration, bounds }
}

function boundsText(bought: readonly Bought[]): string {
  if (bought.every(({ plan }) => plan === undefined))
    return `what the bounds would buy is not known: ${bought[0]?.reason ?? 'no plan fits'}`
  const table = tableOf(
    bought,
    {
      'accuracy lost': ({ maxAccuracyLoss }) => `≤ ${percent(maxAccuracyLoss)}`,
      'best plan': ({ plan }) =>
        plan?.stages.map(({ resource, from, to }) => `${resource}:${from}-${to}`).join(' ') ?? 'none',
      codecs: ({ plan }) => (plan ? codecsOf(plan) || 'native' : ''),
      sent: bytesColumn(({ plan }) => plan?.bytes),
      predicted: msColumn(({ plan }) => plan?.predictedMs),
    },
    { expendable: ['sent', 'codecs'] },
  )
  return tableText(table)
}

const codecsOf = ({ transfers }: Plan) =>
  transfers.map(({ codec, boundary }) => `${codec} at ${boundary}`).join(', ')
