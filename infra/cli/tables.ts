/** Tables and texts of models, layers, profiles, resources and deployments. Pure: values in, text out. Plans: plan-tables.ts. */
import colour from 'picocolors'
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { Model, Samples, Structure } from '../../shared/contracts/model.ts'
import { namesOf } from '../../shared/contracts/model-names.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import type { Pace } from '../../shared/contracts/pace.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { ResourceView } from '../../shared/contracts/resource.ts'
import { bytesColumn, type Cell, msColumn, painted, timesColumn } from '../terminal/columns.ts'
import { formatBytes, formatShape } from '../terminal/format.ts'
import { type Table, tableOf } from '../terminal/table.ts'

const EMULATED = painted('emulated', colour.yellow)

/** One row per name and version: a file with several names has several rows. */
export function modelsTable(models: readonly Model[]): Table {
  const rows = models.flatMap((model) => namesOf(model).map((own) => ({ model, ...own })))
  const sorted = rows.sort((a, b) => a.name.localeCompare(b.name) || a.version - b.version)
  return tableOf(
    sorted,
    {
      name: ({ name }) => name,
      version: ({ version }) => version,
      id: ({ model }) => ({ text: model.id.slice(0, 12), value: model.id }),
      size: bytesColumn(({ model }) => model.bytes),
      inputs: ({ model }) => inputsText(model.inputs),
      added: ({ model }) => model.createdAt,
    },
    { ifEmpty: 'no models yet: scission models add FILE', expendable: ['added', 'inputs', 'size', 'id'] },
  )
}

/** `input_1 FP32 1x3x224x224` */
export const inputsText = (inputs: Model['inputs'] | Structure['inputs']): string =>
  inputs.map((input) => `${input.name} ${input.datatype} ${formatShape(input.shape)}`).join(', ')

export function uploadedText(model: UploadedModel): string {
  const cuts = model.cuts
    ? `${model.layers} layers, ${model.cuts.single.length} single-tensor cuts, ${model.cuts.clean.length} clean cuts`
    : 'open dimensions: give input shapes'
  const names = namesOf(model).map(({ name, version }) => `${name} (version ${version})`)
  const lines = [
    `${names.join(', ')}: ${model.id}`,
    `  ${formatBytes(model.bytes)}, inputs ${inputsText(model.inputs)}`,
    `  ${cuts}`,
    ...(model.samples ? [`  samples for ${model.samples.inputs.map(({ name }) => name).join(', ')}`] : []),
    ...(model.warnings ?? []).map((warning) => `  warning: ${warning}`),
  ]
  return lines.join('\n')
}

export function samplesText({ inputs, givenAt }: { inputs: Samples['inputs']; givenAt?: string }): string {
  if (inputs.length === 0) return 'no samples: all values are made up; give some with --give FILE'
  return `given ${givenAt}: ${inputsText(inputs)}`
}

export function layersTable({ layers, boundaries }: Pick<Structure, 'layers' | 'boundaries'>): Table {
  const rows = layers.map((layer) => ({ ...layer, after: boundaries[layer.index + 1] }))
  return tableOf(
    rows,
    {
      layer: ({ index }) => index,
      operator: ({ op }) => op,
      name: ({ name }) => shortened(name),
      output: ({ outputs }) =>
        twoFaced(
          outputs.map(
            ({ datatype, shape, bytes }) => [`${datatype} ${formatShape(shape)}, `, bytes] as const,
          ),
        ),
      weights: bytesColumn(({ weightBytes }) => weightBytes),
      'M MAC': ({ macs }) => (macs === null ? '' : { text: (macs / 1e6).toFixed(2), value: macs / 1e6 }),
      'crossing after it': bytesColumn(({ after }) => after?.bytes),
      tensors: ({ after }) => shortened(after?.tensors.join(' ') ?? '', 60),
      cut: ({ after }) => cutText(after),
      'why not clean': ({ after }) => after?.why ?? '',
    },
    { expendable: ['tensors', 'name', 'M MAC', 'why not clean', 'weights', 'output'] },
  )
}

function cutText(boundary: Structure['boundaries'][number] | undefined): string {
  if (!boundary?.allowed) return 'no'
  return boundary.clean ? 'clean' : 'yes'
}

/** Types, shapes and sizes of tensors: the sizes rounded for people, exact for programs. */
const twoFaced = (tensors: readonly (readonly [type: string, bytes: number])[]) => ({
  text: tensors.map(([type, bytes]) => type + formatBytes(bytes)).join('; '),
  value: tensors.map(([type, bytes]) => `${type}${bytes} bytes`).join('; '),
})

/** People see the end of a long name, which tells it from others; programs get all of it. */
const shortened = (text: string, length = 40) => ({
  text: text.length <= length ? text : `…${text.slice(1 - length)}`,
  value: text,
})

export const profilesTable = (profiles: readonly Profile[]): Table =>
  tableOf(
    profiles,
    {
      resource: ({ resource }) => resource,
      'whole model': msColumn(({ whole }) => whole.medianMs),
      slowdown: timesColumn(({ slowdown }) => slowdown),
      'counts as': msColumn(({ whole, slowdown }) => whole.medianMs * slowdown),
      options: ({ options }) => `${options.threads} thread, ${options.optimisation}`,
      // An imported profile says nothing of it.
      'peak memory': bytesColumn(({ peakRssBytes }) => peakRssBytes || undefined),
      '95 % within': { unit: 'share', cell: howSure },
      check: ({ predictionError }) => (predictionError ? (predictionError.ok ? 'passed' : 'failed') : ''),
      figures: ({ emulated, source = 'measured' }) => (emulated && source === 'measured' ? EMULATED : source),
      id: ({ id, model }) => ({ text: id.replace(model, model.slice(0, 12)), value: id }),
    },
    {
      ifEmpty: 'no profiles yet: scission bench MODEL',
      expendable: ['id', 'peak memory', 'options', 'slowdown', 'whole model'],
      // People see it in the column before.
      only: { check: 'csv' },
    },
  )

/** Times are the machine's own, before its slowdown. The costs of ends are those of a stage that begins or ends there. */
export const profileLayersTable = ({ layerMs, layers, enterMs, exitMs }: Profile): Table =>
  tableOf(
    layerMs.map((ms, layer) => ({ layer, ms, spread: layers?.[layer] })),
    {
      layer: ({ layer }) => layer,
      time: msColumn(({ ms }) => ms),
      lowest: msColumn(({ spread }) => spread?.lowMs),
      highest: msColumn(({ spread }) => spread?.highMs),
      'begins here': msColumn(({ layer }) => enterMs?.[layer]),
      'ends after it': msColumn(({ layer }) => exitMs?.[layer + 1]),
    },
    { expendable: ['ends after it', 'begins here', 'lowest', 'highest'] },
  )

/** The profile's interval, and a warning if the profile failed its own check. */
function howSure({ interval, predictionError }: Profile): Cell {
  const within = interval ? `± ${(100 * interval.relative).toFixed(0)} %` : 'not said'
  const text = predictionError?.ok === false ? `${within}, check failed` : within
  return { text, value: interval?.relative ?? '' }
}

export const deploymentsTable = (deployments: readonly DeploymentView[]): Table =>
  tableOf(
    deployments,
    {
      deployment: ({ id }) => id,
      state: ({ state, standIns = [] }) =>
        [state, ...standIns.map(({ by, resource }) => `${by} computes for ${resource}`)].join(': '),
      'path (layers)': ({ hops }) =>
        hops
          .map(({ resource, from, to }) => `${resource} ${from === to ? '(forwards)' : `[${from},${to})`}`)
          .join(' → '),
      predicted: msColumn(({ predictedMs }) => predictedMs),
      endpoint: ({ entry, id }) => `${entry.url}/v2/models/${id}/infer`,
    },
    {
      ifEmpty: 'no deployments: scission deploy PLAN',
      expendable: ['endpoint', 'predicted', 'path (layers)'],
    },
  )

export const resourcesTable = (resources: readonly ResourceView[]): Table =>
  tableOf(
    resources,
    {
      resource: ({ name }) => name,
      tier: ({ tier }) => tier,
      state: ({ alive, source }) => (alive ? 'alive' : source === 'imported' ? 'imported' : 'lost'),
      'last sign of life': ({ silentMs, heartbeatAt, source }) =>
        source === 'imported'
          ? ''
          : {
              text: silentMs === undefined ? 'not known' : ageText(silentMs),
              value: heartbeatAt,
            },
      pace: {
        unit: 'ms',
        cell: ({ pace }) => ({ text: pace ? paceColumn(pace) : '', value: pace?.requestMs.median ?? '' }),
      },
      // Nothing answers for a machine that was imported.
      address: ({ url, source }) => (source === 'imported' ? '' : url),
      slowdown: timesColumn(({ slowdown }) => slowdown),
      machine: ({ machine }) => machine.cpuModel,
    },
    {
      ifEmpty: 'no resources: an inference service registers itself when it starts',
      expendable: ['machine', 'pace', 'slowdown', 'last sign of life', 'address'],
    },
  )

/** How the machine's pace moves, and what other work on it costs: `−9 % … +21 %, others +40 %`. */
function paceColumn({ cpuMs, requestMs }: Pace): string {
  const part = (ms: number, of: number) =>
    `${ms < of ? '−' : '+'}${Math.round(Math.abs(100 * (ms / of - 1)))} %`
  const others = requestMs.median / cpuMs.median
  return (
    `${part(cpuMs.low, cpuMs.median)} … ${part(cpuMs.high, cpuMs.median)}` +
    (others >= 1.05 ? `, others ${part(others, 1)}` : '')
  )
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
] as const

/** `3 s ago`. */
export const ageText = (ms: number): string => `${durationText(ms)} ago`

/** `3 s`. */
export function durationText(ms: number): string {
  const [size, unit] = UNITS.find(([least]) => ms >= least) ?? [1000, 's']
  return `${Math.max(0, Math.round(ms / size))} ${unit}`
}
