/**
 * What a plan is worked out from, as the service knows it, and the checks that make it safe to compute with.
 * Only the fields that planning reads are asked for, so that imported data can be planned with too.
 */
import type { CalibrationCell } from '../../../shared/contracts/calibration.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { Profile } from '../../../shared/contracts/profile.ts'
import type { Link, Resource, RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { optionsText, sameOptions } from './options.ts'

export type PlanningStructure = Pick<Structure, 'model' | 'shapesKey' | 'layers' | 'boundaries'>
/** `options`: the resource's own; when absent, those of its first profile are. */
export type PlanningResource = Pick<Resource, 'name' | 'tier' | 'tierIndex' | 'slowdown' | 'emulated'> &
  Partial<Pick<Resource, 'options'>>

/**
 * Stage [i, j) takes Σ layerMs[i..j) + enterMs[i] + exitMs[j] (never below 0), times the resource's slowdown.
 * `codecs`: how fast it encodes and decodes; a codec without figures here cannot be used on this resource.
 */
export type PlanningProfile = Pick<Profile, 'resource' | 'model' | 'shapesKey' | 'layerMs' | 'emulated'> &
  Partial<Pick<Profile, 'enterMs' | 'exitMs' | 'interval' | 'options' | 'codecs'>> & {
    predictionError?: { ok: boolean } | undefined
  }

export type PlanningLink = Pick<
  Link,
  'from' | 'to' | 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'source' | 'emulated'
> &
  Partial<Pick<Link, 'perMessageMs' | 'uncertainty'>>

/** What a codec does at the boundaries where it is calibrated; elsewhere it cannot be used. `none` needs no entry. */
export interface PlanningCodec {
  name: string
  cells: readonly (Pick<CalibrationCell, 'boundary' | 'bytesRatio'> & {
    /** Share of answers spoiled, 0..1. */
    accuracyLoss: number
  })[]
}

export const FIGURES = [
  'busyWatts',
  'idleWatts',
  'transmitWatts',
  'pricePerSecond',
  'pricePerGb',
] as const satisfies readonly (keyof PlanQuery)[]

/** Each a record by resource name; what is missing is 0. */
export type Figures = Partial<Record<(typeof FIGURES)[number], Readonly<Record<string, number>> | undefined>>

export interface Problem {
  structure: PlanningStructure
  resources: readonly PlanningResource[]
  /** One per resource and runtime options: which of them a stage runs with is the planner's choice. */
  profiles: readonly PlanningProfile[]
  /** Directed; a pair without a link cannot be used. Links of resources that are not listed are ignored. */
  links: readonly PlanningLink[]
  codecs?: readonly PlanningCodec[] | undefined
  /** What energy and price are worked out from; a query's own figures go before these. */
  figures?: Figures | undefined
}

/** The profiles of a resource, those with its own runtime options first, then by threads and optimisation. */
export function profilesOf(problem: Problem, resource: PlanningResource): PlanningProfile[] {
  const all = problem.profiles.filter((profile) => profile.resource === resource.name)
  if (all.length < 2) return all
  const own = ownOptions(problem, resource)
  const rank = (options: RuntimeOptions | undefined) =>
    sameOptions(options, own)
      ? ''
      : `${String(options?.threads ?? 0).padStart(3, '0')} ${options?.optimisation}`
  const key = new Map(all.map((profile) => [profile, rank(profile.options)]))
  return all.sort((a, b) => (key.get(a)! < key.get(b)! ? -1 : 1))
}

/** The options that a plan need not name: the resource's, or those of its first profile. */
export function ownOptions(problem: Problem, resource: PlanningResource): RuntimeOptions | undefined {
  return resource.options ?? problem.profiles.find((profile) => profile.resource === resource.name)?.options
}

/** @throws ScissionError badRequest naming the field that no plan can be worked out from. */
export function checkProblem(problem: Problem): void {
  checkStructure(problem.structure)
  checkResources(problem.resources)
  for (const profile of problem.profiles) checkProfile(profile, problem.structure)
  checkUnique(
    'profiles of resource',
    problem.profiles.map(({ resource, options }) => `${resource}${optionsText(options)}`),
  )
  for (const link of problem.links) checkLink(link)
  checkUnique(
    'links',
    problem.links.map((link) => `${link.from} → ${link.to}`),
  )
  checkCodecs(problem)
  checkFigures(problem.figures ?? {})
}

/** The resource the input is at: the named one, or the only one of the first tier. */
export function sourceOf(resources: readonly PlanningResource[], named: string | undefined): string {
  if (named !== undefined) return named
  const first = Math.min(...resources.map((resource) => resource.tierIndex))
  const candidates = resources.filter((resource) => resource.tierIndex === first)
  if (candidates.length === 1 && candidates[0]) return candidates[0].name
  const names = candidates.map((resource) => resource.name).sort()
  throw new ScissionError(
    'badRequest',
    `give source: the first tier has ${names.length} resources, ${names.join(', ')}`,
    { field: 'source', allowed: names },
  )
}

function checkStructure({ layers, boundaries }: PlanningStructure): void {
  const expected = layers.length + 1
  const numbered = boundaries.length === expected && boundaries.every((boundary, k) => boundary.k === k)
  if (layers.length === 0) throw bad('structure.layers', 'the model has no layers: there is nothing to plan')
  if (!numbered)
    throw bad('structure.boundaries', `must be the boundaries 0..${layers.length}, got ${boundaries.length}`)
  const odd = boundaries.find(({ bytes }) => !isCost(bytes))
  if (odd) throw notACost(`structure.boundaries[${odd.k}].bytes`, odd.bytes)
}

function checkResources(resources: readonly PlanningResource[]): void {
  if (resources.length === 0)
    throw new ScissionError('notMeasured', 'there are no resources: start an inference service')
  checkUnique(
    'resources',
    resources.map((resource) => resource.name),
  )
  for (const one of resources) {
    if (!isAboveZero(one.slowdown)) throw notAboveZero(`slowdown of ${one.name}`, one.slowdown)
    const clash = resources.find((other) => (other.tier === one.tier) !== (other.tierIndex === one.tierIndex))
    if (clash)
      throw bad(
        'tierIndex',
        `${one.name} is in tier ${one.tier} at position ${one.tierIndex}, ${clash.name} in tier ${clash.tier} ` +
          `at position ${clash.tierIndex}: each tier needs one position of its own`,
      )
  }
}

function checkProfile(profile: PlanningProfile, structure: PlanningStructure): void {
  const name = `profile of ${profile.resource}`
  if (profile.model !== structure.model || profile.shapesKey !== structure.shapesKey)
    throw bad('profiles', `${name} is of model ${profile.model}.${profile.shapesKey}, not of the one planned`)
  if (profile.layerMs.length !== structure.layers.length)
    throw bad(
      'profiles',
      `${name} has ${profile.layerMs.length} layers, the model has ${structure.layers.length}`,
    )
  const odd = profile.layerMs.findIndex((value) => !isCost(value))
  if (odd >= 0) throw notACost(`${name}, layerMs[${odd}]`, profile.layerMs[odd])
  for (const field of ['enterMs', 'exitMs'] as const) checkCutCosts(name, field, profile[field], structure)
  const { relative = 0, fixedMs = 0 } = profile.interval ?? {}
  if (!isCost(relative)) throw notACost(`${name}, interval.relative`, relative)
  if (!isCost(fixedMs)) throw notACost(`${name}, interval.fixedMs`, fixedMs)
  for (const { codec, encodeMsPerMb, decodeMsPerMb } of profile.codecs ?? [])
    if (!isCost(encodeMsPerMb) || !isCost(decodeMsPerMb))
      throw notACost(
        `${name}, speed of codec ${codec}`,
        isCost(encodeMsPerMb) ? decodeMsPerMb : encodeMsPerMb,
      )
}

/** What a stage costs more because it begins or ends at a boundary may be negative: two sessions can beat one. */
function checkCutCosts(
  name: string,
  field: 'enterMs' | 'exitMs',
  values: readonly number[] | undefined,
  { boundaries }: PlanningStructure,
): void {
  if (values === undefined) return
  if (values.length !== boundaries.length)
    throw bad(
      'profiles',
      `${name}, ${field} has ${values.length} entries, the model has ${boundaries.length} boundaries`,
    )
  const odd = values.findIndex((value) => !Number.isFinite(value))
  if (odd >= 0)
    throw bad('profiles', `${name}, ${field}[${odd}] must be a finite number, got: ${values[odd]}`)
}

function checkCodecs({ codecs = [], structure }: Problem): void {
  checkUnique(
    'codecs',
    codecs.map(({ name }) => name),
  )
  for (const { name, cells } of codecs)
    for (const { boundary, bytesRatio, accuracyLoss } of cells) {
      const where = `codec ${name} at boundary ${boundary}`
      if (structure.boundaries[boundary] === undefined)
        throw bad('codecs', `${where}: the model has boundaries 0..${structure.layers.length}`)
      if (!isCost(bytesRatio)) throw notACost(`bytesRatio of ${where}`, bytesRatio)
      if (!(accuracyLoss >= 0 && accuracyLoss <= 1))
        throw bad('codecs', `accuracyLoss of ${where} must be from 0 to 1, got: ${accuracyLoss}`)
    }
}

/** @throws ScissionError badRequest for a figure that is negative or not finite. */
export function checkFigures(given: Figures): void {
  for (const field of FIGURES)
    for (const [resource, value] of Object.entries(given[field] ?? {}))
      if (!isCost(value)) throw notACost(`${field} of ${resource}`, value)
}

function checkLink(link: PlanningLink): void {
  const name = `link ${link.from} → ${link.to}`
  if (!isCost(link.rttMs)) throw notACost(`rttMs of ${name}`, link.rttMs)
  for (const field of ['bandwidthMbps', 'returnBandwidthMbps'] as const)
    if (!isAboveZero(link[field])) throw notAboveZero(`${field} of ${name}`, link[field])
  if (!isCost(link.perMessageMs ?? 0)) throw notACost(`perMessageMs of ${name}`, link.perMessageMs)
  for (const [field, width] of Object.entries(link.uncertainty ?? {}))
    if (!isCost(width ?? 0)) throw notACost(`uncertainty.${field} of ${name}`, width)
}

function checkUnique(what: string, names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw bad(what, `${what} ${twice} given twice: which one counts?`)
}

function isCost(value: number): boolean {
  return Number.isFinite(value) && value >= 0
}

function isAboveZero(value: number): boolean {
  return Number.isFinite(value) && value > 0
}

function notACost(field: string, value: number | undefined): ScissionError {
  return bad(field, `${field} must be a finite number, 0 or more, got: ${value}`)
}

function notAboveZero(field: string, value: number): ScissionError {
  return bad(field, `${field} must be a finite number above 0, got: ${value}`)
}

function bad(field: string, message: string): ScissionError {
  return new ScissionError('badRequest', message, { field })
}
