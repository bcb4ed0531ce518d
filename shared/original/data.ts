/**
 * The published measurements of the original Scission (UCC 2020) as plain values: the timed blocks of each machine and
 * network, and the ping and bandwidth of each pair of machines. `directory.ts` reads them from files.
 */
import { z } from 'zod'
import { ScissionError } from '../platform/errors.ts'

/** The original's tiers, in the order in which a request passes them. */
export const TIERS = ['device', 'edge', 'cloud'] as const
export type Tier = (typeof TIERS)[number]

/** Keras layers `first..last`, timed as one; `outputBytes` is the size of its output as an .npy file. */
export interface Block {
  first: number
  last: number
  seconds: number
  outputBytes: number
}

/** One machine. */
export interface System {
  tier: Tier
  name: string
  /** By lower-case network name. */
  models: ReadonlyMap<string, readonly Block[]>
}

export interface Connection {
  from: string
  to: string
  pingMs: number
  /** 10^6 bit/s. */
  mbps: number
}

const layer = z.number().int().nonnegative()
const BlockTuple = z
  .tuple([layer, layer, z.number().nonnegative(), z.number().int().nonnegative()])
  .transform(([first, last, seconds, outputBytes]): Block => ({ first, last, seconds, outputBytes }))

/** `profiles.json`: `blocks` are `[first layer, last layer, seconds, bytes of the output]`. */
const OriginalProfiles = z.object({
  systems: z.record(
    z.string(),
    z.object({
      tier: z.enum(TIERS),
      name: z.string().min(1),
      models: z.record(z.string(), z.object({ blocks: z.array(BlockTuple).min(1) })),
    }),
  ),
})

const ConnectionRow = z
  .object({
    source: z.string(),
    destination: z.string(),
    pingMs: z.number().nonnegative(),
    bandwidthMbps: z.number().positive(),
  })
  .transform(
    ({ source, destination, pingMs, bandwidthMbps }): Connection => ({
      from: source,
      to: destination,
      pingMs,
      mbps: bandwidthMbps,
    }),
  )
/** `networks.json`: the connections of each statistics file, by file name. */
const OriginalNetworks = z.record(z.string(), z.array(ConnectionRow))

/** @throws ScissionError badRequest, which names the field that differs from the original's format. */
export function parseProfiles(json: unknown): System[] {
  const { systems } = parseAs(OriginalProfiles, json, 'profiles')
  return checkSystems(
    Object.values(systems).map(({ tier, name, models }) => ({
      tier,
      name,
      models: new Map(Object.entries(models).map(([model, { blocks }]) => [model.toLowerCase(), blocks])),
    })),
  )
}

/** @throws ScissionError badRequest; @returns connections by the name of the statistics file. */
export function parseNetworks(json: unknown): Map<string, Connection[]> {
  return new Map(Object.entries(parseAs(OriginalNetworks, json, 'networks')))
}

/** `source,destination,ping(ms),bandwidth(mbps)` with one heading line. @throws ScissionError badRequest with the line. */
export function parseNetworkCsv(text: string, file: string): Connection[] {
  const lines = text.split(/\r?\n/).slice(1)
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    const [from = '', to = '', ping = '', rate = ''] = line.split(',').map((cell) => cell.trim())
    const connection = { from, to, pingMs: Number(ping || NaN), mbps: Number(rate || NaN) }
    if (connection.pingMs >= 0 && connection.mbps > 0 && connection.mbps < Infinity) return [connection]
    throw new ScissionError(
      'badRequest',
      `${file}, line ${index + 2}: must be source,destination,ping in ms,bandwidth in Mbit/s, got: ${line}`,
    )
  })
}

/**
 * Checks that the blocks of each network follow each other without a gap and are the same on all machines, because a plan
 * changes machines at the ends of blocks.
 * @throws ScissionError badRequest
 */
export function checkSystems(systems: readonly System[]): System[] {
  const seen = new Map<string, { system: string; cuts: string }>()
  for (const { name, models } of systems)
    for (const [model, blocks] of models) {
      const gap = blocks.findIndex(({ first, last }, at) => {
        const expected = at === 0 ? 0 : blocks[at - 1]!.last + 1
        return first !== expected || last < first
      })
      if (gap >= 0)
        throw bad(`${name}, ${model}: block ${gap} does not begin where the one before it ends, or is empty`)
      const cuts = JSON.stringify(blocks.map(({ last, outputBytes }) => [last, outputBytes]))
      const other = seen.get(model)
      if (other && other.cuts !== cuts)
        throw bad(`${model} has other blocks or output sizes on ${name} than on ${other.system}`)
      seen.set(model, other ?? { system: name, cuts })
    }
  return [...systems]
}

function parseAs<T extends z.ZodType>(schema: T, json: unknown, what: string): z.output<T> {
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw bad(`${what}.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not as in the original data'}`)
}

function bad(message: string): ScissionError {
  return new ScissionError('badRequest', `the original's data: ${message}`)
}
