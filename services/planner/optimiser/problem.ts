/**
 * What a plan is worked out from, as the service knows it, and the checks that make it safe to compute with.
 * Only the fields that planning reads are asked for, so that imported data can be planned with too.
 */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Profile } from '../../../shared/contracts/profile.ts'
import type { Link, Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/errors.ts'

export type PlanningStructure = Pick<Structure, 'model' | 'shapesKey' | 'layers' | 'boundaries'>
export type PlanningResource = Pick<Resource, 'name' | 'tier' | 'tierIndex' | 'slowdown' | 'emulated'>
export type PlanningProfile = Pick<Profile, 'resource' | 'model' | 'shapesKey' | 'layerMs' | 'emulated'>
export type PlanningLink = Pick<
  Link,
  'from' | 'to' | 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'source' | 'emulated'
>

export interface Problem {
  structure: PlanningStructure
  resources: readonly PlanningResource[]
  /** At most one per resource; a resource without one is left out. */
  profiles: readonly PlanningProfile[]
  /** Directed; a pair without a link cannot be used. Links of resources that are not listed are ignored. */
  links: readonly PlanningLink[]
}

/** @throws ScissionError badRequest naming the field that no plan can be worked out from. */
export function checkProblem(problem: Problem): void {
  checkStructure(problem.structure)
  checkResources(problem.resources)
  for (const profile of problem.profiles) checkProfile(profile, problem.structure)
  checkUnique(
    'profiles of resource',
    problem.profiles.map((profile) => profile.resource),
  )
  for (const link of problem.links) checkLink(link)
  checkUnique(
    'links',
    problem.links.map((link) => `${link.from} → ${link.to}`),
  )
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
}

function checkLink(link: PlanningLink): void {
  const name = `link ${link.from} → ${link.to}`
  if (!isCost(link.rttMs)) throw notACost(`rttMs of ${name}`, link.rttMs)
  for (const field of ['bandwidthMbps', 'returnBandwidthMbps'] as const)
    if (!isAboveZero(link[field])) throw notAboveZero(`${field} of ${name}`, link[field])
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
