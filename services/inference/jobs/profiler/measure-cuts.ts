/** Which cuts are run: chosen at random, spread over the model's time, some to fit to and some to check against. */
import { createHash } from 'node:crypto'
import type { Structure } from '../../../../shared/contracts/model.ts'

export type Role = 'anchor' | 'check'

export interface ChosenCut {
  k: number
  role: Role
}

/** In the order in which they are run. With one, it is a check: knowing the error matters more than lessening it. */
const ROLES: readonly Role[] = ['check', 'anchor', 'check', 'anchor']
export const MOST_CUTS = ROLES.length

/** Boundaries that plans prefer: clean single-tensor cuts; where there are none, any single-tensor one that is allowed. */
export function candidates({ boundaries, layers }: Pick<Structure, 'boundaries' | 'layers'>): number[] {
  const inside = boundaries.filter(
    ({ k, allowed, single }) => k > 0 && k < layers.length && allowed && single,
  )
  const clean = inside.filter((boundary) => boundary.clean)
  return (clean.length > 0 ? clean : inside).map(({ k }) => k)
}

/**
 * One from each of `count` parts of the model that take equally long by `layerMs`, at random by `seed`: the same model
 * gets the same cuts.
 */
export function chooseCuts(
  from: readonly number[],
  layerMs: readonly number[],
  count: number,
  seed: string,
): ChosenCut[] {
  const random = randomOf(seed)
  const cumulative = [0]
  for (const ms of layerMs) cumulative.push((cumulative.at(-1) ?? 0) + ms)
  const wholeMs = cumulative.at(-1) ?? 0
  const parts = Array.from({ length: count }, () => [] as number[])
  for (const k of from) {
    const share = wholeMs > 0 ? (cumulative[k] ?? 0) / wholeMs : k / layerMs.length
    parts[Math.min(count - 1, Math.floor(share * count))]?.push(k)
  }
  const chosen = parts.flatMap((part) => part[Math.floor(random() * part.length)] ?? [])
  return shuffled(chosen, random).map((k, at) => ({ k, role: ROLES[at] ?? 'check' }))
}

function shuffled(values: readonly number[], random: () => number): number[] {
  return values
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value)
}

/** Numbers in [0, 1) from the SHA-256 of the seed and a counter. */
function randomOf(seed: string): () => number {
  let count = 0
  return () => {
    const digest = createHash('sha256').update(`${seed} ${count++}`).digest()
    return digest.readUInt32LE(0) / 2 ** 32
  }
}
