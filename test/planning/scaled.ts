/** A problem and a query on another scale of time. */
import type { OptimiserQuery, Problem } from '../../shared/planning/index.ts'

/** Everything that takes time takes `factor` times as long; a byte costs so many times as much. */
export function scaled<P extends Problem>(problem: P, factor: number): P {
  const times = (values: readonly number[] | undefined) => values?.map((ms) => ms * factor)
  return {
    ...problem,
    profiles: problem.profiles.map((one) => ({
      ...one,
      layerMs: times(one.layerMs)!,
      enterMs: times(one.enterMs),
      exitMs: times(one.exitMs),
      callMs: (one.callMs ?? 0) * factor,
      stops: one.stops && {
        ...one.stops,
        ms: one.stops.ms * factor,
        perMs: one.stops.perMs / factor,
      },
      interval: one.interval && { ...one.interval, fixedMs: one.interval.fixedMs * factor },
      codecs: one.codecs?.map(({ codec, encodeMsPerMb, decodeMsPerMb }) => ({
        codec,
        encodeMsPerMb: encodeMsPerMb * factor,
        decodeMsPerMb: decodeMsPerMb * factor,
      })),
    })),
    links: problem.links.map(({ uncertainty, ...link }) => ({
      ...link,
      rttMs: link.rttMs * factor,
      perMessageMs: (link.perMessageMs ?? 0) * factor,
      jitterMs: (link.jitterMs ?? 0) * factor,
      bandwidthMbps: link.bandwidthMbps / factor,
      returnBandwidthMbps: link.returnBandwidthMbps / factor,
      uncertainty: uncertainty && {
        rttMs: uncertainty.rttMs * factor,
        bandwidthMbps: uncertainty.bandwidthMbps / factor,
        returnBandwidthMbps: uncertainty.returnBandwidthMbps / factor,
      },
    })),
    figures: problem.figures && {
      ...problem.figures,
      pricePerGb: scaledRecord(problem.figures.pricePerGb ?? {}, factor),
    },
  }
}

function scaledRecord(record: Readonly<Record<string, number>>, factor: number): Record<string, number> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, value * factor]))
}

/** The times and costs that the query names, on the same scale. */
export function scaledQuery<Q extends OptimiserQuery>(query: Q, factor: number): Q {
  const scaledBy = (field: 'maxLatencyMs' | 'maxEnergyJ' | 'maxPrice') =>
    query[field] === undefined ? {} : { [field]: query[field] * factor }
  return {
    ...query,
    ...(query.maxTierMs && { maxTierMs: scaledRecord(query.maxTierMs, factor) }),
    ...scaledBy('maxLatencyMs'),
    ...scaledBy('maxEnergyJ'),
    ...scaledBy('maxPrice'),
    ...(query.pricePerGb && { pricePerGb: scaledRecord(query.pricePerGb, factor) }),
    ...(query.minThroughput !== undefined && { minThroughput: query.minThroughput / factor }),
  }
}
