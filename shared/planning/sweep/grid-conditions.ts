/**
 * The conditions of a sweep: the problem at every combination of values of its axes. Every axis has a coordinate in which the
 * cost of a plan is linear: the round trip and the slowdown themselves, and the inverse of a bandwidth. Network presets are
 * separate conditions without an order.
 */
import { asGiven, withPreset } from '../../contracts/network-presets.ts'
import type { SweepAxis, SweepGrid } from '../../contracts/plan-sweep.ts'
import { ScissionError } from '../../platform/errors.ts'
import { checkKnown, type PlanningLink, type Problem } from '../problem/problem.ts'

export interface Axis {
  /** Coordinates of its values; indices of the values if they have no order. */
  coordinates: Float64Array
  /** True if costs are linear in the coordinate. */
  ordered: boolean
  /** The value that a user reads on the axis at a coordinate. */
  valueAt(coordinate: number): number
}

export interface GridConditions {
  axes: Axis[]
  /** Number of cells: all combinations of values, the last axis fastest. */
  cells: number
  /** The coordinates of a cell, one per axis. */
  coordinatesOf(cell: number): number[]
  /** The problem at a coordinate of each axis. */
  at(coordinates: readonly number[]): Problem
}

/** @throws ScissionError notFound for unknown links and resources, badRequest for two axes that set the same. */
export function conditionsOf(problem: Problem, grid: SweepGrid): GridConditions {
  const changes = grid.map((axis, index) => changesOf(problem, axis, `axes[${index}]`))
  checkDistinct(changes)
  const axes = grid.map(axisOf)
  return {
    axes,
    cells: axes.reduce((cells, { coordinates }) => cells * coordinates.length, 1),
    coordinatesOf: (cell) => {
      const strides = stridesOf(axes)
      return axes.map(
        ({ coordinates }, at) => coordinates[Math.floor(cell / strides[at]!) % coordinates.length]!,
      )
    },
    at: (coordinates) => {
      const links = [...problem.links]
      const resources = [...problem.resources]
      grid.forEach((axis, at) => {
        const { members } = changes[at]!
        const value = axes[at]!.valueAt(coordinates[at]!)
        if (axis.vary === 'slowdown')
          for (const member of members)
            resources[member] = { ...resources[member]!, slowdown: value, emulated: true }
        else for (const member of members) links[member] = changed(axis, links[member]!, value)
      })
      return { ...problem, links, resources }
    },
  }
}

/** Per axis, the distance of neighbours in the list of cells. */
export function stridesOf(axes: readonly Axis[]): number[] {
  const strides = axes.map(() => 1)
  for (let at = axes.length - 2; at >= 0; at -= 1)
    strides[at] = strides[at + 1]! * axes[at + 1]!.coordinates.length
  return strides
}

function axisOf(axis: SweepAxis): Axis {
  const inverse = axis.vary === 'bandwidthMbps'
  return {
    coordinates:
      axis.vary === 'network'
        ? Float64Array.from(axis.values, (_, index) => index)
        : Float64Array.from(axis.values, (value) => (inverse ? 1 / value : value)),
    ordered: axis.vary !== 'network',
    valueAt: (coordinate) => (inverse ? 1 / coordinate : coordinate),
  }
}

interface Changes {
  /** Indices into links or resources. */
  members: number[]
  /** Names of the figures that the axis sets: no two axes may set the same. */
  keys: string[]
}

function changesOf(problem: Problem, axis: SweepAxis, field: string): Changes {
  if (axis.vary === 'slowdown') {
    const known = problem.resources.map(({ name }) => name)
    checkKnown(`${field}.resources`, 'resource', axis.resources, [...known].sort())
    const members = [...new Set(axis.resources)].map((name) => known.indexOf(name))
    return { members, keys: members.map((member) => `slowdown of ${known[member]}`) }
  }
  const members = linkMembers(problem, axis.vary === 'network' ? undefined : axis.links, field)
  const figures = axis.vary === 'network' ? ['rttMs', 'bandwidthMbps'] : [axis.vary]
  const names = members.map((member) => linkText(problem.links[member]!))
  return { members, keys: names.flatMap((name) => figures.map((figure) => `${figure} of ${name}`)) }
}

function linkMembers(
  problem: Problem,
  ends: readonly { from: string; to: string }[] | undefined,
  field: string,
): number[] {
  const all = problem.links.map(linkText)
  if (ends) {
    checkKnown(`${field}.links`, 'link', ends.map(linkText), [...all].sort())
    return [...new Set(ends.map(linkText))].map((name) => all.indexOf(name))
  }
  const first = Math.min(...problem.resources.map(({ tierIndex }) => tierIndex))
  const leaving = new Set(
    problem.resources.filter(({ tierIndex }) => tierIndex === first).map(({ name }) => name),
  )
  return problem.links.flatMap(({ from }, at) => (leaving.has(from) ? [at] : []))
}

function linkText({ from, to }: { from: string; to: string }): string {
  return `${from} → ${to}`
}

function checkDistinct(changes: readonly Changes[]): void {
  const keys = changes.flatMap((change) => change.keys)
  const twice = keys.find((key, at) => keys.indexOf(key) !== at)
  if (twice === undefined) return
  throw new ScissionError('badRequest', `axes: two of them set the ${twice}`, { field: 'axes' })
}

/** @param value of the axis; the index of the preset. */
function changed(
  axis: Exclude<SweepAxis, { vary: 'slowdown' }>,
  link: PlanningLink,
  value: number,
): PlanningLink {
  if (axis.vary === 'network') return withPreset(link, axis.values[value]!)
  const figures =
    axis.vary === 'rttMs' ? { rttMs: value } : { bandwidthMbps: value, returnBandwidthMbps: value }
  return { ...asGiven(link), ...figures, source: 'override' }
}
