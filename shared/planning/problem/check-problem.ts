/** The checks that make a problem safe to compute with. */
import { ScissionError } from '../../platform/errors.ts'
import {
  FIGURES,
  type Figures,
  optionsText,
  type PlanningLink,
  type PlanningProfile,
  type PlanningResource,
  type PlanningStructure,
  type Problem,
} from './problem.ts'

const checked = new WeakSet<Problem>()

/**
 * Checks a problem object the first time it is seen; a changed problem must be a new object.
 * @throws ScissionError badRequest naming the field that cannot be planned with; notMeasured if there are no resources.
 */
export function checkProblem(problem: Problem): void {
  if (checked.has(problem)) return
  checkEverything(problem)
  checked.add(problem)
}

function checkEverything(problem: Problem): void {
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

/** enterMs and exitMs may be negative: two sessions can be faster than one. */
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
