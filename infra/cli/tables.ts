/** Formats models, layers, links, profiles and deployments for a terminal. Pure: values in, text out. Plans: plan-tables.ts. */
import colour from 'picocolors'
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { Model, Structure } from '../../shared/contracts/model.ts'
import type { Deployment } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link } from '../../shared/contracts/resource.ts'
import { formatBytes, formatMbps, formatMs, formatShape } from '../terminal/format.ts'
import { renderTable } from '../terminal/table.ts'

const EMULATED = colour.yellow('emulated')

export function modelsTable(models: readonly Model[]): string {
  if (models.length === 0) return 'no models yet: scission models add FILE'
  const rows = models.map((model) => [
    model.name,
    model.version,
    model.id.slice(0, 12),
    formatBytes(model.bytes),
    signature(model),
    model.createdAt,
  ])
  return renderTable(['name', 'version', 'id', 'size', 'inputs', 'added'], rows)
}

const signature = (model: Model) =>
  model.inputs.map((input) => `${input.name} ${input.datatype} ${formatShape(input.shape)}`).join(', ')

export function uploadedText(model: UploadedModel): string {
  const cuts = model.cuts
    ? `${model.layers} layers, ${model.cuts.single.length} single-tensor cuts, ${model.cuts.clean.length} clean cuts`
    : 'open dimensions: give input shapes'
  return `${model.name} (version ${model.version}): ${model.id}\n  ${formatBytes(model.bytes)}, inputs ${signature(model)}\n  ${cuts}`
}

export function layersTable(structure: Structure): string {
  const rows = structure.layers.map((layer) => {
    const boundary = structure.boundaries[layer.index + 1]
    const cut = !boundary?.allowed ? 'no' : boundary.clean ? 'clean' : 'yes'
    return [
      layer.index,
      layer.op,
      shorten(layer.name),
      layer.outputs
        .map((output) => `${output.datatype} ${formatShape(output.shape)}, ${formatBytes(output.bytes)}`)
        .join('; '),
      formatBytes(layer.weightBytes),
      layer.macs === null ? '' : (layer.macs / 1e6).toFixed(2),
      boundary ? formatBytes(boundary.bytes) : '',
      shorten(boundary?.tensors.join(' ') ?? '', 60),
      cut,
      boundary?.why ?? '',
    ]
  })
  return renderTable(
    [
      'layer',
      'operator',
      'name',
      'output',
      'weights',
      'M MAC',
      'crossing after it',
      'tensors',
      'cut',
      'why not clean',
    ],
    rows,
  )
}

const shorten = (text: string, length = 40): string =>
  text.length <= length ? text : `…${text.slice(1 - length)}`

export function profilesTable(profiles: readonly Profile[]): string {
  const rows = profiles.map((profile) => [
    profile.resource,
    formatMs(profile.whole.medianMs),
    `${profile.slowdown}x`,
    formatMs(profile.whole.medianMs * profile.slowdown),
    `${profile.options.threads} thread, ${profile.options.optimisation}`,
    formatBytes(profile.peakRssBytes),
    howSure(profile),
    profile.emulated ? EMULATED : 'measured',
  ])
  return renderTable(
    ['resource', 'whole model', 'slowdown', 'counts as', 'options', 'peak memory', '95 % within', ''],
    rows,
  )
}

/** The profile's interval, and a warning if the profile failed its own check. */
function howSure({ interval, predictionError }: Profile): string {
  const within = interval ? `± ${(100 * interval.relative).toFixed(0)} %` : 'not said'
  return predictionError?.ok === false ? `${within}, check failed` : within
}

export function linksTable(links: readonly Link[]): string {
  if (links.length === 0) return 'no links measured yet'
  const rows = links.map((link) => [
    `${link.from} → ${link.to}`,
    formatMs(link.rttMs),
    formatMbps(link.bandwidthMbps),
    formatMbps(link.returnBandwidthMbps),
    link.source +
      (link.emulated ? `, ${EMULATED}${link.emulation?.preset ? ` ${link.emulation.preset}` : ''}` : ''),
  ])
  return renderTable(['link', 'round trip', 'bandwidth', 'back', ''], rows)
}

export function deploymentsTable(deployments: readonly Deployment[]): string {
  if (deployments.length === 0) return 'no deployments: scission deploy PLAN'
  const rows = deployments.map((deployment) => [
    deployment.id,
    deployment.state,
    deployment.hops
      .map((hop) => `${hop.resource} ${hop.from === hop.to ? '(forwards)' : `[${hop.from},${hop.to})`}`)
      .join(' → '),
    formatMs(deployment.predictedMs),
    `${deployment.entry.url}/v2/models/${deployment.id}/infer`,
  ])
  return renderTable(['deployment', 'state', 'path (layers)', 'predicted', 'endpoint'], rows)
}
