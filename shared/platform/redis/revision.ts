/**
 * Revisions of the shared state: every write of a document gets the next number, in the same step. A service that answered
 * after a write names a revision that contains it; a client hands it to another service, which then answers with no older
 * state. A Redis that lost its data begins a new epoch, in which numbers start again.
 */
import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { ScissionError } from '../errors.ts'

/** Header of answers: the state that they are made of is not newer than this revision. */
export const REVISION_HEADER = 'Scission-Revision'
/** Header of requests: they are answered with a state that is at least this new. */
export const AT_LEAST_HEADER = 'Scission-At-Least-Revision'

export const REVISION_KEY = 'scission:revision'

/**
 * Lua for the scripts that write a document, and for looks: notes once for each start of Redis, in the key `noted`, the number
 * of the last write that it had then. Leaves `start`, which tells one start from another; '' if Redis does not tell (the
 * emulated one, or one that refuses to). The script asks, since a command that waits for a connection may run after the next
 * start.
 */
export const NOTE_START = `
local server = redis.pcall('info', 'server')
local start = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local noted = 'scission:redis-start:' .. start
if start ~= '' then redis.call('set', noted, redis.call('hget', '${REVISION_KEY}', 'number') or '0', 'NX') end`

/** Written as `epoch.number`. */
export interface Revision {
  epoch: string
  number: number
}

/** `latest`: whatever has been written by the time of asking. */
export type AskedRevision = Revision | 'latest'

const WRITTEN = /^([0-9a-f]{1,32})\.(\d{1,15})$/
export const REVISION_PATTERN = WRITTEN.source

/** Begins the revisions of a Redis that has none: another text every time, since one process may outlive several. */
export const newEpoch = (): string => randomBytes(6).toString('hex')

export const formatRevision = ({ epoch, number }: Revision): string => `${epoch}.${number}`

/** @returns undefined if the text is no revision. */
export function parseRevision(text: string): Revision | undefined {
  const [, epoch, number] = WRITTEN.exec(text) ?? []
  return epoch === undefined ? undefined : { epoch, number: Number(number) }
}

/** @throws ScissionError badRequest if the text of the header is neither a revision nor `latest`. */
export function parseAsked(text: string): AskedRevision {
  const asked = text === 'latest' ? text : parseRevision(text)
  if (asked) return asked
  throw new ScissionError(
    'badRequest',
    `${AT_LEAST_HEADER}: "${text.slice(0, 60)}" is no revision: give one that an answer's ${REVISION_HEADER} named, or latest`,
    { field: AT_LEAST_HEADER },
  )
}

/** @returns the newest revision; undefined if nothing was ever written. @throws Redis' own error. */
export async function readRevision(redis: Redis): Promise<Revision | undefined> {
  const [epoch, number] = await redis.hmget(REVISION_KEY, 'epoch', 'number')
  return epoch && number ? parseRevision(`${epoch}.${number}`) : undefined
}

/** True if a state of revision `known` contains what was written at `asked`. */
export const contains = (known: Revision | undefined, asked: Revision): boolean =>
  known?.epoch === asked.epoch && known.number >= asked.number
