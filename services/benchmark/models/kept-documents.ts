/**
 * Profiles and ended calibrations are kept beside the models on disk, from where they come back if Redis has lost them. What
 * was deleted in Redis is deleted here too, also if that happened while this service was not there: as long as Redis has
 * its memory, it is right.
 */
import { mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Calibration } from '../../../shared/contracts/calibration.ts'
import { OWN_MARK } from '../../../shared/contracts/file-names.ts'
import { Profile } from '../../../shared/contracts/profile.ts'
import { isAbsent, readIfThere, writeWhole } from '../../../shared/platform/atomic-file.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import { jsonInTurns } from '../../../shared/platform/json-in-turns.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { readStoredJson } from '../../../shared/platform/outside-input.ts'
import { type Change, Changes } from '../../../shared/platform/redis/changes.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { isUnderWay } from '../benchmarks/benchmark-view.ts'
import type { ModelStore } from './model-store.ts'

/** In a model's folder. */
const FOLDER = `kept${OWN_MARK}documents`
const FOLLOW_AGAIN_MS = 500
/** Attempts after which a failure is worth a warning. */
const PATIENT_ATTEMPTS = 5
const KINDS = ['profiles', 'calibrations'] as const
type Kind = (typeof KINDS)[number]
type Kept = Profile | Calibration
/** Ids of both kinds begin with so many digits of their model's id. */
const MODEL_DIGITS = 12
/** What else has an id that is no file name was not made by these services. */
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,240}$/

export class KeptDocuments {
  readonly #store: ModelStore
  readonly #state: State
  readonly #log: Logger
  readonly #changes: Changes
  readonly #noteMemory: (note: string) => Promise<void>
  readonly #closing = new AbortController()
  /** One after another, so that an older document never overwrites a newer one. */
  #work: Promise<void> = Promise.resolve()

  /** @param noteMemory keeps what is known of the memory of Redis, for the next run of this service. */
  constructor(store: ModelStore, state: State, log: Logger, noteMemory: (note: string) => Promise<void>) {
    this.#store = store
    this.#state = state
    this.#log = log
    this.#noteMemory = noteMemory
    this.#changes = new Changes(state.redis, log)
    this.#changes.on('change', (change) => this.#onChange(change))
    this.#changes.on('resync', () => this.#queue(() => this.#followAtLast()))
    this.#changes.on('error', (error) =>
      log.debug({ err: error }, 'the change announcements are interrupted'),
    )
  }

  /** Resolves when what is under way is written. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#changes.close()
    await this.#work
  }

  /** Writes back what Redis has lost, of the models that are there. @returns how many of each kind were missing. */
  async restore(): Promise<Record<Kind, number>> {
    const restored = { profiles: 0, calibrations: 0 }
    for (const { id: model } of await this.#store.all()) {
      for (const file of await this.#files(model, 'profiles')) {
        const profile = await readStoredJson(Profile, file, this.#log)
        if (!profile) continue
        const isOlder = (now: Profile) => now.measuredAt < profile.measuredAt
        if (await this.#state.profiles.restore(profile.id, profile, isOlder)) restored.profiles += 1
      }
      for (const file of await this.#files(model, 'calibrations')) {
        const calibration = await readStoredJson(Calibration, file, this.#log)
        if (!calibration) continue
        const isUnended = ({ state }: Calibration) => isUnderWay(state)
        if (await this.#state.calibrations.restore(calibration.id, calibration, isUnended))
          restored.calibrations += 1
      }
    }
    return restored
  }

  #onChange({ kind, id, revision }: Change): void {
    // Whoever has the document on disk knows, also after its next start, that Redis had it.
    if (revision !== undefined && this.#state.redis.status === 'ready') this.#state.memory.heard(revision)
    const known = KINDS.find((one) => one === kind)
    if (known) this.#queue(() => this.#update(known, id))
  }

  #queue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((thrown: unknown) => {
      this.#log.warn({ err: coerceError(thrown) }, 'profiles and calibrations are not kept on disk')
    })
  }

  /** The connection that reads may come back later than the one that hears of changes. */
  async #followAtLast(): Promise<void> {
    const { signal } = this.#closing
    for (let attempt = 1; !signal.aborted; attempt += 1)
      try {
        return await this.#follow()
      } catch (thrown) {
        const level = attempt === PATIENT_ATTEMPTS ? 'warn' : 'debug'
        const err = coerceError(thrown)
        this.#log[level]({ err }, 'profiles and calibrations are not kept on disk yet; trying again')
        // Cut short, by an error, when the service closes.
        await sleep(FOLLOW_AGAIN_MS, undefined, { signal }).catch(() => undefined)
      }
  }

  /** Makes the disk as Redis is, after changes that were not heard of. */
  async #follow(): Promise<void> {
    // If Redis has lost its memory, that comes back first: what is missing was not deleted.
    await this.#state.memory.look()
    if (await this.#state.memory.isInDoubt()) return
    for (const kind of KINDS) {
      const inRedis = await this.#state[kind].ids()
      for (const id of inRedis) await this.#update(kind, id)
      for (const { id: model } of await this.#store.all())
        for (const file of await this.#files(model, kind))
          if (!inRedis.includes(path.basename(file, '.json')))
            await this.#update(kind, path.basename(file, '.json'))
    }
  }

  /** Keeps a document as it is in Redis, or forgets it if it is not there. */
  async #update(kind: Kind, id: string): Promise<void> {
    if (!FILE_NAME.test(id)) return
    const document: Kept | undefined = await this.#state[kind].find(id)
    if (document && !('state' in document && isUnderWay(document.state))) await this.#keep(kind, document)
    else if (!document && (await this.#isDeleted(kind, id))) await this.#forget(kind, id)
  }

  /** A document that is not there may also be lost with all that Redis held, which perhaps nobody has noticed yet. */
  async #isDeleted(kind: Kind, id: string): Promise<boolean> {
    await this.#state.memory.look()
    return !(await this.#state[kind].has(id)) && !(await this.#state.memory.isInDoubt(kind, id))
  }

  async #keep(kind: Kind, document: Kept): Promise<void> {
    const folder = path.join(this.#store.folder(document.model), FOLDER, kind)
    const file = path.join(folder, `${document.id}.json`)
    const text = Buffer.concat(await jsonInTurns(document)).toString()
    if ((await readIfThere(file)) === text) return
    // Its folder is another replica's, or was deleted: it must not be made here.
    if (!(await this.#store.record(document.model))) return
    await mkdir(folder, { recursive: true })
    await writeWhole(file, text)
    const { note } = this.#state.memory
    if (note !== undefined) await this.#noteMemory(note)
  }

  async #forget(kind: Kind, id: string): Promise<void> {
    for (const { id: model } of await this.#store.all())
      if (model.startsWith(id.slice(0, MODEL_DIGITS)))
        await rm(path.join(this.#store.folder(model), FOLDER, kind, `${id}.json`), { force: true })
  }

  async #files(model: Kept['model'], kind: Kind): Promise<string[]> {
    const folder = path.join(this.#store.folder(model), FOLDER, kind)
    try {
      const names = (await readdir(folder)).filter((name) => name.endsWith('.json'))
      return names.map((name) => path.join(folder, name))
    } catch (thrown) {
      if (isAbsent(thrown)) return []
      throw thrown
    }
  }
}
