/** Energy and price of a request, from what each resource on its path does for it and the figures that the user gave. */
import { FIGURES, type Figures, type Problem } from './problem.ts'

export interface Work {
  resource: string
  computeMs: number
  /** Encoding and decoding. */
  codingMs: number
  /** On the wire to the next resource, request direction. */
  sendMs: number
  sentBytes: number
}

/**
 * Joules: busy watts while it computes or codes, transmit watts while it sends, idle watts for the rest of the latency.
 * Nothing when no watts are given.
 */
export function energyOf(work: readonly Work[], latencyMs: number, figures: Figures): { energyJ?: number } {
  if (!hasWatts(figures)) return {}
  const milliJoules = work.map(({ resource, computeMs, codingMs, sendMs }) => {
    const busyMs = computeMs + codingMs
    return (
      figure(figures.busyWatts, resource) * busyMs +
      figure(figures.transmitWatts, resource) * sendMs +
      figure(figures.idleWatts, resource) * (latencyMs - busyMs - sendMs)
    )
  })
  // Idle time is a difference: rounding can take it below 0.
  return { energyJ: Math.max(0, sum(milliJoules) / 1000) }
}

/** Price per second of compute and per 10^9 bytes sent on; nothing when no prices are given. */
export function priceOf(work: readonly Work[], figures: Figures): { price?: number } {
  if (!hasPrices(figures)) return {}
  const nano = work.map(
    ({ resource, computeMs, sentBytes }) =>
      figure(figures.pricePerSecond, resource) * computeMs * 1e6 +
      figure(figures.pricePerGb, resource) * sentBytes,
  )
  return { price: sum(nano) / 1e9 }
}

export function hasWatts({ busyWatts, idleWatts, transmitWatts }: Figures): boolean {
  return [busyWatts, idleWatts, transmitWatts].some((given) => given && Object.keys(given).length > 0)
}

export function hasPrices({ pricePerSecond, pricePerGb }: Figures): boolean {
  return [pricePerSecond, pricePerGb].some((given) => given && Object.keys(given).length > 0)
}

/**
 * What is not given counts as 0, which makes a resource look free: said of every resource without any watts where some
 * have them, and of every one without prices likewise.
 */
export function missingFigures(
  { resources, figures: own }: Pick<Problem, 'resources' | 'figures'>,
  query: Figures,
): string[] {
  const given: Figures = Object.fromEntries(FIGURES.map((field) => [field, query[field] ?? own?.[field]]))
  const without = (fields: readonly (keyof Figures)[]) =>
    resources
      .map(({ name }) => name)
      .filter((name) => !fields.some((field) => Object.hasOwn(given[field] ?? {}, name)))
      .sort()
  const watts = hasWatts(given) ? without(['busyWatts', 'idleWatts', 'transmitWatts']) : []
  const prices = hasPrices(given) ? without(['pricePerSecond', 'pricePerGb']) : []
  return [
    ...(watts.length > 0 ? [`no watts are given for ${watts.join(', ')}: counted as 0 in every energy`] : []),
    ...(prices.length > 0
      ? [`no prices are given for ${prices.join(', ')}: counted as 0 in every price`]
      : []),
  ]
}

function figure(given: Readonly<Record<string, number>> | undefined, resource: string): number {
  return given && Object.hasOwn(given, resource) ? given[resource]! : 0
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
