/** Converts hop reports to response parameters, which the protocol requires to be flat: `scission_hop0_computeMs`, … */
import { OWN_PREFIX, type Parameters } from '../../../../shared/oip/parameters.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RunResult } from '../executor/executor.ts'
import type { HopReport } from './target.ts'

/** Marks an answer without outputs: the outputs were delivered directly to the entry. */
export const DELIVERED = `${OWN_PREFIX}delivered`

export interface Here {
  resource: string
  /** True if this resource's speed is emulated. */
  emulated: boolean
}

export function reportRun(
  here: Here,
  hop: number,
  range: { from: number; to: number },
  run: RunResult,
): HopReport {
  return {
    hop,
    resource: here.resource,
    from: range.from,
    to: range.to,
    computeMs: run.computeMs,
    cpuMs: run.cpuMs,
    queueMs: run.queueMs,
    waitedMs: run.waitedMs,
    ...(run.batch && { batch: run.batch.size }),
    bytesOut: tensorBytes(run.outputs),
    emulated: here.emulated,
  }
}

export const tensorBytes = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0)

const FIGURES = [
  'computeMs',
  'cpuMs',
  'queueMs',
  'waitedMs',
  'batch',
  'bytesOut',
  'wireBytes',
  'encodeMs',
  'decodeMs',
  'nextMs',
] as const
const TEXTS = ['codec', 'insteadOf'] as const

export function reportParameters(hops: readonly HopReport[], totalMs: number): Parameters {
  return {
    [`${OWN_PREFIX}hops`]: hops.length,
    ...hopParameters(hops),
    [`${OWN_PREFIX}totalMs`]: round(totalMs),
    [`${OWN_PREFIX}emulated`]: hops.some((report) => report.emulated),
  }
}

/** Parameters of single hops, without those that summarise all hops. */
export function hopParameters(hops: readonly HopReport[]): Parameters {
  const parameters: Parameters = {}
  for (const report of hops) {
    const prefix = `${OWN_PREFIX}hop${report.hop}_`
    parameters[`${prefix}resource`] = report.resource
    parameters[`${prefix}layers`] = `${report.from}-${report.to}`
    for (const figure of FIGURES) {
      const value = report[figure]
      if (value !== undefined) parameters[`${prefix}${figure}`] = round(value)
    }
    for (const text of TEXTS) {
      const value = report[text]
      if (value !== undefined) parameters[`${prefix}${text}`] = value
    }
    parameters[`${prefix}emulated`] = report.emulated
  }
  return parameters
}

/** Rounds ms to microseconds, the resolution of these clocks. */
const round = (value: number) => Math.round(value * 1000) / 1000

/** Reads reports from parameters, the inverse of `hopParameters`. Incomplete reports are left out. */
export function readReports(parameters: Parameters): HopReport[] {
  const hops = new Set<number>()
  for (const key of Object.keys(parameters)) {
    const hop = /^scission_hop(\d{1,4})_resource$/.exec(key)?.[1]
    if (hop !== undefined) hops.add(Number(hop))
  }
  return [...hops].sort((a, b) => a - b).flatMap((hop) => readReport(parameters, hop) ?? [])
}

function readReport(parameters: Parameters, hop: number): HopReport | undefined {
  const value = (key: string) => parameters[`${OWN_PREFIX}hop${hop}_${key}`]
  const layers = /^(\d+)-(\d+)$/.exec(String(value('layers')))
  if (!layers) return undefined
  const report: HopReport = {
    hop,
    resource: String(value('resource')),
    from: Number(layers[1]),
    to: Number(layers[2]),
    computeMs: 0,
    cpuMs: 0,
    queueMs: 0,
    waitedMs: 0,
    bytesOut: 0,
    emulated: value('emulated') === true,
  }
  for (const figure of FIGURES) {
    const given = value(figure)
    if (typeof given === 'number') report[figure] = given
  }
  for (const text of TEXTS) {
    const given = value(text)
    if (typeof given === 'string') report[text] = given
  }
  return report
}
