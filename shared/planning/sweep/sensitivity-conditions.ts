/** The conditions that a winner may be sensitive to, one by one, each with a coordinate in which costs are linear. */
import type { Plan } from '../../contracts/plan.ts'
import type { PlanningLink, PlanningResource, Problem } from '../problem/problem.ts'

export interface Condition {
  what: 'bandwidth' | 'rtt' | 'slowdown'
  link?: { from: string; to: string }
  resource?: string
  /** Mbps towards the higher tier, ms, or the slowdown. */
  now: number
  /** True when it is part of the winner's cost. */
  used: boolean
  /** The inverse for bandwidths. */
  coordinate: number
  /** Least and greatest coordinate to look at. */
  range: [number, number]
  toValue(coordinate: number): number
  /** The problem with this one condition changed. */
  at(coordinate: number): Problem
}

/** A round trip of 0 ms is followed up to that of a satellite's link. */
const LONGEST_RTT_MS = 1000

/** @param factor how far each is followed to either side; the winner's own conditions come first. */
export function conditionsAround(problem: Problem, winner: Plan, factor: number): Condition[] {
  const all = [
    ...problem.links.flatMap((link, index) => [
      bandwidthOf(problem, link, index, winner, factor),
      rttOf(problem, link, index, winner, factor),
    ]),
    ...problem.resources.map((resource, index) => slowdownOf(problem, resource, index, winner, factor)),
  ]
  return [...all.filter(({ used }) => used), ...all.filter(({ used }) => !used)]
}

function crosses(winner: Plan, { from, to }: PlanningLink): boolean {
  return winner.transfers.some((transfer) => transfer.from === from && transfer.to === to)
}

/** Both directions change by the same factor, and what is uncertain about them too. */
function bandwidthOf(
  problem: Problem,
  link: PlanningLink,
  index: number,
  winner: Plan,
  factor: number,
): Condition {
  const { from, to, uncertainty, bandwidthMbps, returnBandwidthMbps } = link
  const scaled = (by: number): PlanningLink => ({
    ...link,
    bandwidthMbps: bandwidthMbps * by,
    returnBandwidthMbps: returnBandwidthMbps * by,
    uncertainty: uncertainty && {
      ...uncertainty,
      bandwidthMbps: uncertainty.bandwidthMbps * by,
      returnBandwidthMbps: uncertainty.returnBandwidthMbps * by,
    },
  })
  return {
    what: 'bandwidth',
    link: { from, to },
    now: bandwidthMbps,
    used: crosses(winner, link),
    coordinate: 1,
    range: [1 / factor, factor],
    toValue: (coordinate) => bandwidthMbps / coordinate,
    at: (coordinate) => withLink(problem, index, scaled(1 / coordinate)),
  }
}

function rttOf(problem: Problem, link: PlanningLink, index: number, winner: Plan, factor: number): Condition {
  const { from, to, rttMs } = link
  return {
    what: 'rtt',
    link: { from, to },
    now: rttMs,
    used: crosses(winner, link),
    coordinate: rttMs,
    range: [rttMs / factor, rttMs === 0 ? LONGEST_RTT_MS : rttMs * factor],
    toValue: (coordinate) => coordinate,
    at: (coordinate) => withLink(problem, index, { ...link, rttMs: coordinate }),
  }
}

function slowdownOf(
  problem: Problem,
  resource: PlanningResource,
  index: number,
  winner: Plan,
  factor: number,
): Condition {
  const { name, slowdown } = resource
  // The source may only send; encoding takes its time too.
  const sends = winner.transfers.some(({ from, encodeMs }) => from === name && encodeMs > 0)
  return {
    what: 'slowdown',
    resource: name,
    now: slowdown,
    used: sends || winner.stages.some((stage) => stage.resource === name),
    coordinate: slowdown,
    range: [slowdown / factor, slowdown * factor],
    toValue: (coordinate) => coordinate,
    at: (coordinate) => ({
      ...problem,
      resources: problem.resources.with(index, { ...resource, slowdown: coordinate }),
    }),
  }
}

function withLink(problem: Problem, index: number, link: PlanningLink): Problem {
  return { ...problem, links: problem.links.with(index, link) }
}
