/** Formats models, layers, links, profiles and deployments for a terminal. Pure: values in, text out. Plans: plan-tables.ts. */
import colour from 'picocolors'
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { Model, Samples, Structure } from '../../shared/contracts/model.ts'
import { namesOf } from '../../shared/contracts/model-names.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link } from '../../shared/contracts/resource.ts'
import { formatBytes, formatMbps, formatMs, formatShape } from '../terminal/format.ts'
import { tableOf } from '../terminal/table.ts'

const EMULATED = colour.yellow('emulated')

/** One row per name and version: a file with several names has several rows. */
export function modelsTable(models: readonly Model[]): string {
  if (models.length === 0) return 'no models yet: scission models add FILE'
  const rows = models.flatMap((model) => namesOf(model).map((own) => ({ model, ...own })))
  const sorted = rows.sort((a, b) => a.name.localeCompare(b.name) || a.version - b.version)
  return tableOf(sorted, {
    name: ({ name }) => name,
    version: ({ version }) => version,
    id: ({ model }) => model.id.slice(0, 12),
    size: ({ model }) => formatBytes(model.bytes),
    inputs: ({ model }) => inputsText(model.inputs),
    added: ({ model }) => model.createdAt,
  })
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

export function layersTable({ layers, boundaries }: Structure): string {
  const rows = layers.map((layer) => ({ ...layer, after: boundaries[layer.index + 1] }))
  return tableOf(rows, {
    layer: ({ index }) => index,
    operator: ({ op }) => op,
    name: ({ name }) => shorten(name),
    output: ({ outputs }) =>
      outputs.map((one) => `${one.datatype} ${formatShape(one.shape)}, ${formatBytes(one.bytes)}`).join('; '),
    weights: ({ weightBytes }) => formatBytes(weightBytes),
    'M MAC': ({ macs }) => (macs === null ? '' : (macs / 1e6).toFixed(2)),
    'crossing after it': ({ after }) => (after ? formatBytes(after.bytes) : ''),
    tensors: ({ after }) => shorten(after?.tensors.join(' ') ?? '', 60),
    cut: ({ after }) => cutText(after),
    'why not clean': ({ after }) => after?.why ?? '',
  })
}

function cutText(boundary: Structure['boundaries'][number] | undefined): string {
  if (!boundary?.allowed) return 'no'
  return boundary.clean ? 'clean' : 'yes'
}

const shorten = (text: string, length = 40): string =>
  text.length <= length ? text : `…${text.slice(1 - length)}`

export function profilesTable(profiles: readonly Profile[]): string {
  return tableOf(profiles, {
    resource: ({ resource }) => resource,
    'whole model': ({ whole }) => formatMs(whole.medianMs),
    slowdown: ({ slowdown }) => `${slowdown}x`,
    'counts as': ({ whole, slowdown }) => formatMs(whole.medianMs * slowdown),
    options: ({ options }) => `${options.threads} thread, ${options.optimisation}`,
    'peak memory': ({ peakRssBytes }) => formatBytes(peakRssBytes),
    '95 % within': howSure,
    '': ({ emulated }) => (emulated ? EMULATED : 'measured'),
  })
}

/** The profile's interval, and a warning if the profile failed its own check. */
function howSure({ interval, predictionError }: Profile): string {
  const within = interval ? `± ${(100 * interval.relative).toFixed(0)} %` : 'not said'
  return predictionError?.ok === false ? `${within}, check failed` : within
}

export function linksTable(links: readonly Link[]): string {
  if (links.length === 0) return 'no links measured yet'
  return tableOf(links, {
    link: ({ from, to }) => `${from} → ${to}`,
    'round trip': ({ rttMs }) => formatMs(rttMs),
    bandwidth: ({ bandwidthMbps }) => formatMbps(bandwidthMbps),
    back: ({ returnBandwidthMbps }) => formatMbps(returnBandwidthMbps),
    '': ({ source, emulated, emulation }) =>
      source + (emulated ? `, ${EMULATED}${emulation?.preset ? ` ${emulation.preset}` : ''}` : ''),
  })
}

export function deploymentsTable(deployments: readonly DeploymentView[]): string {
  if (deployments.length === 0) return 'no deployments: scission deploy PLAN'
  return tableOf(deployments, {
    deployment: ({ id }) => id,
    state: ({ state, standIns = [] }) =>
      [state, ...standIns.map(({ by, resource }) => `${by} computes for ${resource}`)].join(': '),
    'path (layers)': ({ hops }) =>
      hops
        .map(({ resource, from, to }) => `${resource} ${from === to ? '(forwards)' : `[${from},${to})`}`)
        .join(' → '),
    predicted: ({ predictedMs }) => formatMs(predictedMs),
    endpoint: ({ entry, id }) => `${entry.url}/v2/models/${id}/infer`,
  })
}
