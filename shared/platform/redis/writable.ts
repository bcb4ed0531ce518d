/**
 * Whether Redis takes writes. One that is full, read-only or cannot write to its disk still answers reads and pings: then
 * heartbeats do not arrive, and every machine looks dead.
 */
import type { Redis } from 'ioredis'
import { waitAtMost } from '../deadline.ts'
import { coerceError, ScissionError } from '../errors.ts'
import { passwordRefusal, refusalOfConnection } from './refused-password.ts'

/** How Redis begins or, for a script, contains its reason → what it means and what to do. */
const REFUSALS: readonly (readonly [RegExp, string])[] = [
  [
    /\bOOM command not allowed/,
    'its memory is full (maxmemory, policy noeviction): give it more, or delete models and benchmarks',
  ],
  [/\bREADONLY\b/, 'it is a read-only replica: REDIS_URL has to name the primary'],
  [/\bMISCONF\b/, 'it cannot write to its disk: free space there, and see its own log'],
  [/\bNOREPLICAS\b/, 'too few replicas are connected to it (min-replicas-to-write)'],
]

/** Why Redis refused a command, in words for an operator; undefined if the error is another one. */
export function refusalOf(error: Error): string | undefined {
  const password = passwordRefusal(error)
  if (password !== undefined) return password
  if (/\bWRONGTYPE\b/.test(error.message)) return wrongType(error)
  const found = REFUSALS.find(([sign]) => sign.test(error.message))
  return found && `Redis takes no writes: ${found[1]}`
}

/** ioredis tells which command it was; of a script with several keys nobody knows which it is. */
function wrongType(error: Error): string {
  const command: unknown = 'command' in error ? error.command : undefined
  const args: unknown = typeof command === 'object' && command && 'args' in command ? command.args : undefined
  const [key]: readonly unknown[] = Array.isArray(args) ? args : []
  return (
    `Redis holds something under ${isOwnKey(key) ? key : 'a key of this system'} that no service writes (WRONGTYPE): another program uses its keys. ` +
    'Keep that away, and rename or delete the key'
  )
}

const MAX_KEY_CHARACTERS = 200
const isOwnKey = (arg: unknown): arg is string =>
  typeof arg === 'string' && arg.length <= MAX_KEY_CHARACTERS && /^(scission|bull):[\w:. -]+$/.test(arg)

/** Written to find out; nobody reads it. */
const PROBE = 'scission:probe'
const PROBE_MS = 1000
/** A Redis that answers takes milliseconds. */
const ANSWER_MS = 3000

/**
 * @throws ScissionError queueUnavailable with the reason if Redis refuses writes or is silent; the connection's error if it is
 * away.
 */
export async function checkWritable(redis: Redis): Promise<void> {
  try {
    const answered = await waitAtMost(redis.set(PROBE, '', 'PX', PROBE_MS), ANSWER_MS, 'silent')
    if (answered === 'silent')
      throw new ScissionError(
        'queueUnavailable',
        `Redis is connected but has not answered for ${ANSWER_MS / 1000} s: see what keeps it or its machine busy`,
      )
  } catch (thrown) {
    const reason = refusalOfConnection(redis) ?? refusalOf(coerceError(thrown))
    if (reason === undefined) throw thrown
    throw new ScissionError('queueUnavailable', reason, undefined, thrown)
  }
}
