/** Pieces of a model on several machines: cut once at each boundary, and at all of them. */
import { coerceError } from '../../shared/platform/errors.ts'
import { evenly } from '../support/evenly.ts'
import { client, type Driven, type DriveOptions, type Found, mapOf, type Tensors } from './driven.ts'

/** With many layers, differences of the last bits add up. */
const LONG = { layers: 20, tolerance: 1e-4 }

/**
 * Layers 0-k on the first machine, what comes back into k-N on the second.
 * @throws Error that lists the boundaries at which a cut is allowed and the answer is wrong.
 */
export async function cutInTwo(driven: Driven, options: DriveOptions): Promise<Found> {
  const { given, structure } = driven
  const count = structure.layers.length
  const most = Math.min(options.cuts, given.maxCuts ?? options.cuts)
  // Those that are not allowed may give other values: no plan has them.
  const allowed = structure.boundaries.filter((boundary) => boundary.allowed).map(({ k }) => k)
  const tried = evenly(allowed, most)
  const wrong: string[] = []
  let bitIdentical = 0
  let worst = 0
  for (const k of tried) {
    try {
      const middle = await runRange(driven, 0, [0, k], driven.inputs)
      const { apart = 0 } = driven.check(finalOf(driven, await runRange(driven, 1, [k, count], middle)))
      worst = Math.max(worst, apart)
      bitIdentical += Number(apart === 0)
    } catch (thrown) {
      wrong.push(`${k}${structure.boundaries[k]?.clean ? ' (clean)' : ''}: ${coerceError(thrown).message}`)
    }
  }
  if (wrong.length > 0)
    throw new Error(`${wrong.length} of ${tried.length} cuts, before layers ${wrong.join('; ')}`)
  return { tried: tried.length, bitIdentical, apart: worst }
}

/** Every layer on the next machine; layers between which no cut is allowed stay together. */
export async function layerByLayer(driven: Driven): Promise<Found> {
  const { structure, given } = driven
  const stops = structure.boundaries.filter(({ k, allowed }) => allowed && k > 0).map(({ k }) => k)
  let have = driven.inputs
  let from = 0
  for (const [place, to] of stops.entries()) {
    have = await runRange(driven, place, [from, to], have)
    from = to
  }
  const isLong = stops.length > LONG.layers
  return driven.check(
    finalOf(driven, have),
    isLong ? Math.max(given.tolerance, LONG.tolerance) : given.tolerance,
  )
}

async function runRange(
  { system, model, structure }: Driven,
  place: number,
  [from, to]: readonly [number, number],
  have: Tensors,
): Promise<Tensors> {
  const crossing = (structure.boundaries[from]?.tensors ?? []).map((name) => {
    const tensor = have.get(name)
    if (!tensor) throw new Error(`"${name}" did not cross the boundary before layer ${from}`)
    return tensor
  })
  return mapOf((await client(system, place).inferRange(model, from, to, crossing)).outputs)
}

const finalOf = ({ structure }: Driven, tensors: Tensors): Tensors =>
  mapOf(structure.outputs.flatMap(({ name }) => tensors.get(name) ?? []))
