/**
 * Documents of one kind in Redis: one hash, one JSON document per field, validated on the way in and out. A write that
 * depends on what is there (`update`, `add`, `take`) is one atomic step, between processes too.
 */
import type { Redis } from 'ioredis'
import type { z } from 'zod'
import { ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { checkInTurns, checkJsonInTurns, type LongDocument } from '../check-in-turns.ts'
import { jsonInTurns } from '../json-in-turns.ts'
import { type Checked, LeftOut } from '../outside-input.ts'
import { nextTurn, PIECE_CHARACTERS } from '../turns.ts'
import { type Change, CHANGES_CHANNEL } from './changes.ts'
import { countIgnored } from '../ignored.ts'
import { deletedKey } from './redis-memory.ts'
import { newEpoch, NOTE_START, REVISION_KEY } from './revision.ts'
import type { Seal } from './seal.ts'

const MAX_QUOTED_CHARACTERS = 100

/** Documents read at once by `some`. */
const BATCH = 20

/** Longer than any service takes to notice that Redis has lost its memory, and to write back what it knows. */
const REMEMBER_DELETED_MS = 600_000

/** Each time another process was quicker; more of them in a row than this is no contention but a fault. */
const MAX_UPDATE_ATTEMPTS = 1000

/**
 * Ends each script that writes: counts the write as the next revision, announces it and returns it.
 * KEYS hash, revision; ARGV field, epoch to begin with if there is none, channel, announcement (a JSON object), others.
 */
const ANNOUNCE = `
${NOTE_START}
redis.call('hsetnx', KEYS[2], 'epoch', ARGV[2])
local revision = redis.call('hget', KEYS[2], 'epoch') .. '.' .. redis.call('hincrby', KEYS[2], 'number', 1)
redis.call('publish', ARGV[3], string.sub(ARGV[4], 1, -2) .. ',"revision":"' .. revision .. '"}')
return revision`

/** ARGV 5: new text. Returns the revision. */
const SET = `
redis.call('hset', KEYS[1], ARGV[1], ARGV[5])
${ANNOUNCE}`

/**
 * ARGV 5: text that must be there ('' = none), 6: new text ('' = remove).
 * Returns the revision if the field was as expected and is now as wanted, else false.
 */
const COMPARE_AND_SET = `
if (redis.call('hget', KEYS[1], ARGV[1]) or '') ~= ARGV[5] then return false end
if ARGV[6] == '' then redis.call('hdel', KEYS[1], ARGV[1]) else redis.call('hset', KEYS[1], ARGV[1], ARGV[6]) end
${ANNOUNCE}`

/** Removes the field. Returns its text and the revision, false if there was none. */
const TAKE = `
local text = redis.call('hget', KEYS[1], ARGV[1])
if not text then return false end
redis.call('hdel', KEYS[1], ARGV[1])
${ANNOUNCE.replace('return revision', 'return { text, revision }')}`

/** Told of a write of this process, with the revision that it made. */
export type OnWrite = (change: Change & { revision: string }) => void

export class Collection<T> {
  readonly kind: string
  readonly #redis: Redis
  readonly #schema: z.ZodType<T>
  readonly #key: string
  readonly #leftOut: LeftOut
  readonly #onWrite: OnWrite | undefined
  readonly #idOf: ((document: T) => string) | undefined
  readonly #seal: Seal | undefined
  readonly #long: LongDocument<T> | undefined

  /**
   * @param log is told of documents that are left out because this version cannot read them.
   * @param onWrite is called after every write of this process, before its promise resolves.
   * @param idOf the id that a document tells of itself: under another one it would pass for what it is not, and is unreadable.
   * @param seal of a collection whose documents are signed: one that is not to be believed counts as one that cannot be read.
   * @param long how long documents are checked: those are read and written a piece at a time. They are not sealed.
   */
  constructor(
    redis: Redis,
    kind: string,
    schema: z.ZodType<T>,
    log?: Logger,
    onWrite?: OnWrite,
    idOf?: (document: T) => string,
    seal?: Seal,
    long?: LongDocument<T>,
  ) {
    this.#redis = redis
    this.kind = kind
    this.#schema = schema
    this.#key = `scission:${kind}`
    this.#leftOut = new LeftOut(log)
    this.#onWrite = onWrite
    this.#idOf = idOf
    this.#seal = seal
    this.#long = long
  }

  /** @throws ScissionError notReady when this version cannot read the document. */
  async get(id: string): Promise<T | undefined> {
    const text = await this.#redis.hget(this.#key, id)
    const parsed = text === null ? undefined : await this.#tryParse(id, text)
    if (parsed instanceof ScissionError) throw parsed
    return parsed
  }

  /** Like `get`, for a reader that can do without: a document that this version cannot read counts as none and is logged. */
  async find(id: string): Promise<T | undefined> {
    const text = await this.#redis.hget(this.#key, id)
    return text === null ? undefined : this.#readable(id, text)
  }

  /** Without reading the document. */
  async has(id: string): Promise<boolean> {
    return (await this.#redis.hexists(this.#key, id)) === 1
  }

  /** @throws ScissionError notFound naming what exists, when that is a short list. */
  async need(id: string): Promise<T> {
    const found = await this.get(id)
    if (found !== undefined) return found
    const known = (await this.#redis.hkeys(this.#key)).sort()
    const singular = this.kind.replace(/s$/, '')
    const hint =
      known.length === 0
        ? `there are no ${this.kind} yet`
        : `known: ${known.slice(0, 10).join(', ')}${known.length > 10 ? ', …' : ''}`
    throw new ScissionError('notFound', `unknown ${singular} "${id}"; ${hint}`, {
      known: known.slice(0, 100),
    })
  }

  async put(id: string, value: T): Promise<void> {
    this.#wrote(id, await this.#write(SET, id, await this.#text(id, value)))
  }

  /**
   * Reads a document, decides, and writes: in one step, whoever else writes it at the same time.
   * @param decide is given the document, undefined if there is none or none that this version can read. It returns the
   *   new one; what it was given to leave what is there, readable or not; undefined to remove a document it was given.
   *   It may be called again with a newer document.
   * @returns what is there now. @throws what `decide` throws, nothing is written then.
   */
  async update(id: string, decide: (current: T | undefined) => T | undefined): Promise<T | undefined> {
    for (let attempt = 0; attempt < MAX_UPDATE_ATTEMPTS; attempt += 1) {
      // Compared as bytes: a record that is no text at all must be replaceable too.
      const before = await this.#redis.hgetBuffer(this.#key, id)
      const current = before === null ? undefined : await this.#readable(id, before.toString())
      const wanted = decide(current)
      if (wanted === current) return current
      const text = wanted === undefined ? '' : await this.#text(id, wanted)
      const revision = await this.#write(COMPARE_AND_SET, id, before ?? '', text)
      if (revision === null) continue
      this.#wrote(id, revision)
      return wanted
    }
    throw new ScissionError('overloaded', `${this.kind} ${id} is changed all the time; retry in a moment`)
  }

  /** Writes the document unless there is one. @returns whether it was written. */
  async add(id: string, value: T): Promise<boolean> {
    let added = false
    await this.update(id, (current) => {
      added = current === undefined
      return current ?? value
    })
    return added
  }

  /**
   * Writes a document that Redis has lost with all others, unless there is one, or it was deleted since.
   * @param replaces whether it takes the place of one that is there. @defaultValue never
   * @returns whether it was written.
   */
  async restore(id: string, value: T, replaces: (current: T) => boolean = () => false): Promise<boolean> {
    const wasDeleted = async () => (await this.#redis.exists(deletedKey(this.kind, id))) === 1
    if (await wasDeleted()) return false
    const now = await this.update(id, (current) =>
      current === undefined || replaces(current) ? value : current,
    )
    if (now !== value) return false
    // In the same moment.
    if (await wasDeleted()) await this.delete(id)
    return true
  }

  /**
   * Removes a document: of several that do so at once, one gets it.
   * @returns undefined when there is none; else the document, if this version can read it.
   */
  async take(id: string): Promise<{ document: T | undefined } | undefined> {
    const text = await this.#remove(id)
    return text === undefined ? undefined : { document: await this.#readable(id, text) }
  }

  /** @returns whether there was one. */
  async delete(id: string): Promise<boolean> {
    return (await this.#remove(id)) !== undefined
  }

  /** @returns the text that was there; undefined if there was none. */
  async #remove(id: string): Promise<string | undefined> {
    // First: a service that has not heard of it yet must not restore it.
    await this.#redis.set(deletedKey(this.kind, id), '1', 'PX', REMEMBER_DELETED_MS)
    const taken = await this.#write(TAKE, id)
    if (!Array.isArray(taken)) return undefined
    const [text, revision] = taken as unknown[]
    this.#wrote(id, revision)
    return String(text)
  }

  #write(script: string, id: string, ...others: (string | Buffer)[]): Promise<unknown> {
    const change = JSON.stringify({ kind: this.kind, id } satisfies Change)
    const common = [this.#key, REVISION_KEY, id, newEpoch(), CHANGES_CHANNEL, change] as const
    return this.#redis.eval(script, 2, ...common, ...others)
  }

  #wrote(id: string, revision: unknown): void {
    this.#onWrite?.({ kind: this.kind, id, revision: String(revision) })
  }

  /**
   * Seals the documents anew that the system has sealed with a key that is being replaced. Otherwise unread: also what a newer
   * version wrote stays as it is. @returns how many.
   */
  async sealAnew(): Promise<number> {
    let count = 0
    for (const id of this.#seal ? await this.ids() : []) {
      const before = await this.#redis.hgetBuffer(this.#key, id)
      const text = before === null ? undefined : this.#seal?.renew(this.kind, id, before.toString())
      if (before === null || text === undefined) continue
      const revision = await this.#write(COMPARE_AND_SET, id, before, text)
      // Who has written it meanwhile has sealed it.
      if (revision === null) continue
      this.#wrote(id, revision)
      count += 1
    }
    return count
  }

  async ids(): Promise<string[]> {
    return (await this.#redis.hkeys(this.#key)).sort()
  }

  /**
   * The documents of these ids that exist, a few at a time: for a reader that must not hold all of a large collection
   * as text at once. One that this version cannot read is given to `onOdd` and left out.
   */
  async *some(ids: readonly string[], onOdd: (error: ScissionError) => void): AsyncGenerator<[string, T]> {
    for (let start = 0; start < ids.length; start += BATCH) {
      const batch = ids.slice(start, start + BATCH)
      const texts = await this.#redis.hmget(this.#key, ...batch)
      for (const [index, id] of batch.entries()) {
        const text = texts[index]
        if (typeof text !== 'string') continue
        const parsed = await this.#tryParse(id, text)
        if (parsed instanceof ScissionError) {
          countIgnored('document')
          onOdd(parsed)
        } else yield [id, parsed]
      }
    }
  }

  /** All documents that this version can read, by id. */
  async all(): Promise<T[]> {
    const fields = await this.#redis.hgetall(this.#key)
    const documents: T[] = []
    let characters = 0
    for (const id of Object.keys(fields).sort()) {
      const text = fields[id] ?? ''
      const document = await this.#readable(id, text)
      if (document !== undefined) documents.push(document)
      characters += text.length
      if (characters < PIECE_CHARACTERS) continue
      characters = 0
      await nextTurn()
    }
    return documents
  }

  /** @throws ScissionError badRequest for a document that no reader would take. */
  async #text(id: string, value: T): Promise<string | Buffer> {
    const { value: document, fault } = this.#check(id, await checkInTurns(this.#schema, this.#long, value))
    if (fault !== undefined)
      throw new ScissionError('badRequest', `${this.kind} ${id} makes no sense: ${fault}`, { id })
    if (this.#long) return Buffer.concat(await jsonInTurns(Object(document) as object))
    const text = JSON.stringify(document)
    return this.#seal ? this.#seal.close(this.kind, id, text) : text
  }

  #check(id: string, checked: Checked<T>): Checked<T> {
    if (checked.fault !== undefined) return checked
    const own = this.#idOf?.(checked.value) ?? id
    return own === id ? checked : { fault: `it is a document of ${own.slice(0, MAX_QUOTED_CHARACTERS)}` }
  }

  /** A document that cannot be read counts as none, and is logged once for each fault that it has. */
  async #readable(id: string, text: string): Promise<T | undefined> {
    const parsed = await this.#tryParse(id, text)
    if (parsed instanceof ScissionError) {
      countIgnored('document')
      this.#leftOut.report(id, parsed.message)
    } else this.#leftOut.forget(id)
    return parsed instanceof ScissionError ? undefined : parsed
  }

  async #tryParse(id: string, text: string): Promise<T | ScissionError> {
    const { value, fault } = this.#check(id, await checkJsonInTurns(this.#schema, this.#long, text))
    const left = (why: string) =>
      new ScissionError('notReady', `${this.kind} ${id} in Redis is ${why}`, { id })
    if (fault !== undefined) return left(`not what this version writes: ${fault}`)
    const untrue = await this.#seal?.fault(this.kind, id, text)
    return untrue === undefined ? value : left(`not to be believed: ${untrue}`)
  }
}
