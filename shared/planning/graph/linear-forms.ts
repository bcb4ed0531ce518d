/**
 * Linear forms over the totals of a graph plan: the objective, and sums with a limit. Latency, energy, price and bytes are
 * all of this kind, so one minimum cut minimises any of them.
 */
import { OBJECTIVES, type Objective } from '../../contracts/plan.ts'
import { MESSAGE_JSON_BYTES } from '../../contracts/resource.ts'
import type { SumKind } from '../limits/constraints.ts'
import { figureOf, type Figures } from '../problem/problem.ts'
import type { GraphInstance } from './graph-instance.ts'

/** Totals of a placement: per stop, ms of its layers and bytes of their weights; per link, bytes that cross it. */
export interface Totals {
  compute: Float64Array
  weight: Float64Array
  bytes: Float64Array
}

/** constant + Σ compute[s]·(ms at stop s) + Σ weight[s]·(weight bytes at stop s) + Σ bytes[l]·(bytes over link l). */
export interface LinearForm extends Totals {
  constant: number
}

/** A linear form that must not be above a limit. */
export interface SideConstraint {
  /** Kind of the query's constraint; with `: name` if that is about one tier or resource. */
  name: string
  form: LinearForm
  limit: number
}

/** The stops of a route: runners, the source's first, and ms that each takes whatever layers it holds, the source also none. */
export interface Stops {
  runners: readonly number[]
  fixedMs: readonly number[]
}

export function valueOf(form: LinearForm, { compute, weight, bytes }: Totals): number {
  let value = form.constant
  for (let at = 0; at < compute.length; at += 1)
    value += form.compute[at]! * compute[at]! + form.weight[at]! * weight[at]!
  for (let at = 0; at < bytes.length; at += 1) value += form.bytes[at]! * bytes[at]!
  return value
}

export function zeroForm(stops: number): LinearForm {
  return {
    constant: 0,
    compute: new Float64Array(stops),
    weight: new Float64Array(stops),
    bytes: new Float64Array(stops - 1),
  }
}

/** Adds `factor` times the other form in place. */
export function addForm(form: LinearForm, other: LinearForm, factor: number): LinearForm {
  form.constant += factor * other.constant
  for (const part of ['compute', 'weight', 'bytes'] as const)
    for (let at = 0; at < form[part].length; at += 1) form[part][at]! += factor * other[part][at]!
  return form
}

export function objectiveForm(instance: GraphInstance, stops: Stops): LinearForm {
  const { objective, weights = {} } = instance.goal
  if (objective !== 'weighted') return formOf(instance, stops, objective)
  const form = zeroForm(stops.runners.length)
  for (const name of OBJECTIVES) addForm(form, formOf(instance, stops, name), weights[name] ?? 0)
  return form
}

/** Throughput is no linear form; optimise-graph.ts refuses it, so that its weight is 0 here. */
function formOf(instance: GraphInstance, stops: Stops, objective: Objective): LinearForm {
  if (objective === 'energy') return energyForm(instance, stops)
  if (objective === 'price') return priceForm(instance, stops)
  if (objective === 'bytes') {
    const form = zeroForm(stops.runners.length)
    form.bytes.fill(1)
    return form
  }
  return latencyForm(instance, stops)
}

function latencyForm({ links }: GraphInstance, { runners, fixedMs }: Stops): LinearForm {
  const form = zeroForm(runners.length)
  form.compute.fill(1)
  runners.forEach((runner, at) => {
    form.constant += fixedMs[at]!
    if (at === 0) return
    const link = links[runners[at - 1]!]![runner]!
    form.constant += link.fixedMs
    form.bytes[at - 1] = link.msPerByte
  })
  return form
}

/** Joules: busy watts while computing, transmit watts while sending, idle watts for the rest of the request. */
function energyForm(instance: GraphInstance, stops: Stops): LinearForm {
  const { runners, fixedMs } = stops
  const form = zeroForm(runners.length)
  const latency = latencyForm(instance, stops)
  runners.forEach((runner, at) => {
    const perMs = (field: 'busyWatts' | 'idleWatts' | 'transmitWatts') =>
      figureAt(instance, field, runner) / 1000
    addForm(form, latency, perMs('idleWatts'))
    const busy = perMs('busyWatts') - perMs('idleWatts')
    form.compute[at]! += busy
    form.constant += busy * fixedMs[at]!
    const next = runners[at + 1]
    if (next === undefined) return
    form.bytes[at]! +=
      (perMs('transmitWatts') - perMs('idleWatts')) * instance.links[runner]![next]!.msPerByte
  })
  return form
}

function priceForm(instance: GraphInstance, { runners, fixedMs }: Stops): LinearForm {
  const form = zeroForm(runners.length)
  runners.forEach((runner, at) => {
    form.compute[at] = figureAt(instance, 'pricePerSecond', runner) / 1000
    form.constant += form.compute[at] * fixedMs[at]!
    if (at + 1 < runners.length) form.bytes[at] = figureAt(instance, 'pricePerGb', runner) / 1e9
  })
  return form
}

function figureAt({ figures, runners }: GraphInstance, field: keyof Figures, runner: number): number {
  return figureOf(figures, field, runners[runner]!.resource.name)
}

/** Constraints on sums over the whole plan, in the order that the search prices them. */
const PLAN_SUMS = [
  ['latency', 'maxLatencyMs'],
  ['energy', 'maxEnergyJ'],
  ['price', 'maxPrice'],
  ['bytes', 'maxTotalUploadBytes'],
] as const satisfies readonly (readonly [SumKind & Objective, string])[]

export function sideConstraintsOf(instance: GraphInstance, stops: Stops): SideConstraint[] {
  const { limits, goal } = instance
  const constraints: SideConstraint[] = []
  for (const [kind, name] of PLAN_SUMS) {
    // If latency is the objective, the search bounds it by itself.
    if (kind === 'latency' && goal.objective === 'latency') continue
    for (const { limit } of limits.sumLimits.filter((one) => one.kind === kind))
      constraints.push({ name, limit, form: formOf(instance, stops, kind) })
  }
  for (let at = 0; at < stops.runners.length; at += 1) addConstraintsAt(instance, stops, at, constraints)
  return constraints
}

/** Adds the side constraints of one stop and of the link that leaves it. */
function addConstraintsAt(
  instance: GraphInstance,
  { runners, fixedMs }: Stops,
  at: number,
  constraints: SideConstraint[],
): void {
  const { limits, links } = instance
  const { at: index, rank, resource } = instance.runners[runners[at]!]!
  const { name, tier } = resource
  /** Limits one total of the stop or link, times `factor`, plus a constant. */
  const add = (kind: string, limit: number, part: keyof Totals, constant = 0, factor = 1) => {
    if (limit === Infinity) return
    const form = zeroForm(runners.length)
    form.constant = constant
    form[part][at] = factor
    constraints.push({ name: kind, limit, form })
  }
  add(`maxTierMs: ${tier}`, limits.maxStageMs[index]!, 'compute', fixedMs[at])
  add('minThroughput', limits.maxStepMs, 'compute', fixedMs[at])
  for (const { kind, rank: of, limit: percent } of limits.sumLimits)
    if (kind === 'share' && of === rank)
      constraints.push({
        name: `maxTierShare: ${tier}`,
        limit: 0,
        form: shareForm(fixedMs, at, percent / 100),
      })
  // Activations are no linear form: branch-and-bound.ts checks them on placements.
  add(`maxMemoryBytes: ${name}`, limits.maxMemoryBytes[index]!, 'weight')
  const next = runners[at + 1]
  if (next === undefined) return
  add(`maxUploadBytes: ${tier}`, limits.maxUploadBytes[index]!, 'bytes')
  const { at: receiver, resource: to } = instance.runners[next]!
  add(`maxMessageBytes: ${to.name}`, limits.maxMessageBytes[receiver]!, 'bytes', MESSAGE_JSON_BYTES)
  const link = links[runners[at]!]![next]!
  add('minThroughput', limits.maxStepMs, 'bytes', link.fixedMs, link.msPerByte)
}

/** ms at one stop minus a share of the ms at all stops: at most 0 if the stop keeps to its share. */
function shareForm(fixedMs: readonly number[], at: number, share: number): LinearForm {
  const form = zeroForm(fixedMs.length)
  fixedMs.forEach((ms, stop) => {
    form.compute[stop] = Number(stop === at) - share
    form.constant += form.compute[stop] * ms
  })
  return form
}
