/**
 * Input that this process did not make itself: messages of a channel, records in Redis, jobs of a queue, reports of a
 * child or a thread, files on the disk. A schema checks it before use, and a fault is told in one short line, however long
 * or odd the input is.
 */
import type { z } from 'zod'
import { LRUCache } from 'lru-cache'
import { readIfThere } from './atomic-file.ts'
import { coerceError } from './errors.ts'
import type { Logger } from './log.ts'

/** A value that a schema passed, or in a few words why it did not. */
export type Checked<T> = { value: T; fault?: undefined } | { value?: undefined; fault: string }

/** Characters of the input, and of a fault as a whole, that are quoted. */
const MAX_QUOTED_CHARACTERS = 60
const MAX_FAULT_CHARACTERS = 300

/** Never throws. @param schema must be synchronous. @param place of the input in a document, for the fault. */
export function check<T>(
  schema: z.ZodType<T>,
  input: unknown,
  place: readonly PropertyKey[] = [],
): Checked<T> {
  try {
    const parsed = schema.safeParse(input)
    if (parsed.success) return { value: parsed.data }
    const [issue] = parsed.error.issues
    const at = [...place, ...(issue?.path ?? [])].map(String).join('.')
    return { fault: oneLine(`${at ? `${at}: ` : ''}${issue?.message ?? 'not accepted'}`) }
  } catch (thrown) {
    // A getter or a proxy of the input.
    return { fault: oneLine(coerceError(thrown).message) }
  }
}

/**
 * The same for text that should be JSON. Never throws.
 * @param maxCharacters longer text is refused unread. @defaultValue no limit
 */
export function checkJson<T>(schema: z.ZodType<T>, text: string, maxCharacters = Infinity): Checked<T> {
  if (text.length > maxCharacters)
    return { fault: `${text.length} characters long, at most ${maxCharacters} are read` }
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    return { fault: `not JSON: ${quoted(text)}` }
  }
  return check(schema, input)
}

/**
 * The content of a JSON file that this program wrote earlier and can make again.
 * @returns undefined if there is no such file; also if it is damaged or of another version, which is logged.
 */
export async function readStoredJson<T>(
  schema: z.ZodType<T>,
  file: string,
  log: Logger | undefined,
): Promise<T | undefined> {
  const text = await readIfThere(file)
  if (text === undefined) return undefined
  const { value, fault } = checkJson(schema, text)
  if (fault !== undefined) log?.warn(`${file} is damaged and will be made again: ${fault}`)
  return value
}

/** The beginning of a text, control characters escaped. */
function quoted(text: string): string {
  const rest = text.length > MAX_QUOTED_CHARACTERS ? '…' : ''
  return JSON.stringify(text.slice(0, MAX_QUOTED_CHARACTERS)) + rest
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ')
  return line.length > MAX_FAULT_CHARACTERS ? `${line.slice(0, MAX_FAULT_CHARACTERS)}…` : line
}

/** Faults of pieces of input that are remembered. */
const MAX_REPORTED = 1000

/** Logs what is left out because it cannot be read: once for each fault of a piece, however often that is read. */
export class LeftOut {
  readonly #log: Logger | undefined
  /** Piece → its fault, as logged. */
  readonly #reported = new LRUCache<string, string>({ max: MAX_REPORTED })

  constructor(log: Logger | undefined) {
    this.#log = log
  }

  report(piece: string, fault: string): void {
    if (this.#reported.get(piece) === fault) return
    this.#reported.set(piece, fault)
    this.#log?.warn(`left out: ${fault}`)
  }

  /** The piece can be read now. */
  forget(piece: string): void {
    this.#reported.delete(piece)
  }
}
