/**
 * The least cost over all plans as a function of two conditions, exactly, from few solves.
 *
 * Every plan's cost is a plane over the rectangle of conditions. The least cost is their lower envelope, a concave function.
 * Each known plan is the best of the known ones in a convex polygon. If no solve at a corner of that polygon finds a better
 * plan, the envelope touches the plan's plane at all corners and, being concave, lies nowhere below it inside: the plan is
 * best in its whole polygon. So the corners of all polygons are solved; a better plan found at one joins the others and cuts
 * its own polygon out of theirs. When no corner is left, the envelope is proven.
 */
import type { Cost } from './resolve.ts'

export interface Point {
  x: number
  y: number
}

/** A linear function of the conditions: `at + x·dx + y·dy`, from the rectangle's first corner. */
interface Plane {
  at: number
  dx: number
  dy: number
  /** Rounding error of sums of its numbers: relative to the largest height. */
  rounding: number
}

/** A plan's cost over the conditions, and its latency, which decides between plans of equal cost. */
export interface Face<P> {
  plan: P
  value: Plane
  latencyMs: Plane
}

/** The questions of the envelope. `P` stands for a plan. */
export interface Oracle<P> {
  /** The best plan at a point; undefined if no plan satisfies the query there, and then nowhere. */
  solve(point: Point): ({ plan: P } & Cost) | undefined
  /** The cost of a plan at a point. */
  price(plan: P, point: Point): Cost
  key(plan: P): string
}

export interface Rectangle {
  low: Point
  high: Point
}

/** Relative size of differences between sums in different orders. */
const TOLERANCE = 1e-11
/** Error of a plane's heights relative to the largest of them. */
const ROUNDING = 1e-14

/**
 * @param known plans that may be among the best: they save solves.
 * @returns the plans that are best somewhere, and maybe others; undefined if costs turn out not to be planes.
 */
export function lowerEnvelope<P>(
  rectangle: Rectangle,
  oracle: Oracle<P>,
  known: readonly P[] = [],
): Face<P>[] | undefined {
  const envelope = new Envelope(rectangle, oracle)
  for (const plan of known) if (!envelope.add(plan)) return undefined
  return envelope.complete() ? envelope.faces : undefined
}

/** Height of a plane at a point. */
export function heightAt({ at, dx, dy }: Plane, { low }: Rectangle, { x, y }: Point): number {
  return at + (x - low.x) * dx + (y - low.y) * dy
}

/** The face of least cost at a point; among ties, the one of least latency. */
export function lowestAt<P>(
  faces: readonly Face<P>[],
  rectangle: Rectangle,
  point: Point,
): Face<P> | undefined {
  let lowest: Face<P> | undefined
  let least = Infinity
  for (const face of faces) {
    const value = heightAt(face.value, rectangle, point)
    const slack = TOLERANCE * Math.abs(value) + face.value.rounding
    const ties = lowest !== undefined && Math.abs(value - least) <= slack
    if (lowest === undefined || (ties ? isFaster(face, lowest, rectangle, point) : value < least)) {
      lowest = face
      least = value
    }
  }
  return lowest
}

function isFaster(face: Face<unknown>, than: Face<unknown>, rectangle: Rectangle, point: Point): boolean {
  const difference = heightAt(than.latencyMs, rectangle, point) - heightAt(face.latencyMs, rectangle, point)
  return difference > face.latencyMs.rounding + than.latencyMs.rounding
}

class Envelope<P> {
  faces: Face<P>[] = []
  readonly #rectangle: Rectangle
  readonly #oracle: Oracle<P>
  readonly #keys = new Set<string>()
  /** Points where a known plan is proven to be on the envelope. */
  readonly #touched = new Set<string>()

  constructor(rectangle: Rectangle, oracle: Oracle<P>) {
    this.#rectangle = rectangle
    this.#oracle = oracle
  }

  /** @returns false if the plan's cost is not a plane over the rectangle, or the plan is known already. */
  add(plan: P): boolean {
    const { low, high } = this.#rectangle
    const corners = [low, { x: high.x, y: low.y }, { x: low.x, y: high.y }, high]
    const costs = corners.map((corner) => this.#oracle.price(plan, corner))
    const value = this.#planeThrough(costs.map((cost) => cost.value))
    const latencyMs = this.#planeThrough(costs.map((cost) => cost.latencyMs))
    const key = this.#oracle.key(plan)
    if (!value || !latencyMs || this.#keys.has(key)) return false
    this.#keys.add(key)
    this.faces.push({ plan, value, latencyMs })
    return true
  }

  /** Solves corners until none is left. @returns false if costs are not planes. */
  complete(): boolean {
    let corners = cornersOf(this.#rectangle)
    while (corners.length > 0) {
      const lowest = corners.map((corner) => lowestAt(this.faces, this.#rectangle, corner))
      for (const [index, corner] of corners.entries()) {
        // A plan found meanwhile may have cut this corner off.
        if (lowestAt(this.faces, this.#rectangle, corner) !== lowest[index]) continue
        const best = this.#oracle.solve(corner)
        if (!best) {
          this.faces = []
          return true
        }
        if (this.#isTouched(corner, best)) this.#touched.add(keyOf(corner))
        else if (!this.add(best.plan)) return false
      }
      corners = this.#untouched()
    }
    return true
  }

  /** The plane through the heights at the corners low, right, up and high; undefined if they are not coplanar. */
  #planeThrough([low = 0, right = 0, up = 0, far = 0]: readonly number[]): Plane | undefined {
    const { low: from, high: to } = this.#rectangle
    const largest = Math.max(low, right, up, far)
    const plane = {
      at: low,
      dx: to.x === from.x ? 0 : (right - low) / (to.x - from.x),
      dy: to.y === from.y ? 0 : (up - low) / (to.y - from.y),
      rounding: ROUNDING * largest,
    }
    const isFlat = Math.abs(heightAt(plane, this.#rectangle, to) - far) <= TOLERANCE * largest
    return isFlat ? plane : undefined
  }

  /** True if a known plan costs as little as the best one and is as fast. */
  #isTouched(point: Point, best: { plan: P } & Cost): boolean {
    if (this.#keys.has(this.#oracle.key(best.plan))) return true
    return this.faces.some(
      ({ value, latencyMs }) =>
        heightAt(value, this.#rectangle, point) <= best.value * (1 + TOLERANCE) + value.rounding &&
        heightAt(latencyMs, this.#rectangle, point) <= best.latencyMs * (1 + TOLERANCE) + latencyMs.rounding,
    )
  }

  /** Corners of the plans' polygons that are not solved yet, each once. */
  #untouched(): Point[] {
    const found = new Map<string, Point>()
    for (const face of this.faces)
      for (const corner of polygonOf(face, this.faces, this.#rectangle)) {
        const key = keyOf(corner)
        if (!this.#touched.has(key)) found.set(key, corner)
      }
    return [...found.values()]
  }
}

/** Distinct corners, also of a rectangle that is a line or a point. */
function cornersOf({ low, high }: Rectangle): Point[] {
  const all = [low, { x: high.x, y: low.y }, high, { x: low.x, y: high.y }]
  return all.filter((corner, at) => all.findIndex(({ x, y }) => x === corner.x && y === corner.y) === at)
}

/** The region where a face is lowest: the rectangle clipped by one half-plane per other face (Sutherland–Hodgman). */
function polygonOf(face: Face<unknown>, faces: readonly Face<unknown>[], rectangle: Rectangle): Point[] {
  let polygon = cornersOf(rectangle)
  for (const other of faces) {
    if (other === face) continue
    const by = isSamePlane(face.value, other.value, rectangle) ? 'latencyMs' : 'value'
    polygon = clip(
      polygon,
      (point) => heightAt(other[by], rectangle, point) - heightAt(face[by], rectangle, point),
    )
    if (polygon.length === 0) return []
  }
  return polygon
}

function isSamePlane(a: Plane, b: Plane, rectangle: Rectangle): boolean {
  return cornersOf(rectangle).every((corner) => {
    const [here, there] = [heightAt(a, rectangle, corner), heightAt(b, rectangle, corner)]
    return Math.abs(here - there) <= TOLERANCE * Math.abs(here) + a.rounding + b.rounding
  })
}

/** The part of a convex polygon in which a linear function is 0 or more. */
function clip(polygon: readonly Point[], lead: (point: Point) => number): Point[] {
  const leads = polygon.map(lead)
  if (leads.every((value) => value >= 0)) return [...polygon]
  return polygon.flatMap((point, at) => {
    const next = (at + 1) % polygon.length
    const [here, there] = [leads[at]!, leads[next]!]
    const kept = here >= 0 ? [point] : []
    if (here >= 0 === there >= 0 || here === 0 || there === 0) return kept
    const share = here / (here - there)
    const to = polygon[next]!
    return [...kept, { x: point.x + share * (to.x - point.x), y: point.y + share * (to.y - point.y) }]
  })
}

/** Corners that differ by rounding have one key. */
function keyOf({ x, y }: Point): string {
  return `${x.toPrecision(11)} ${y.toPrecision(11)}`
}
