/**
 * Which documents of the copy are to be read again, and up to which revision the copy has come once they are. Announcements
 * arrive in the order of their revisions; this process's own writes are known at once, mostly before they are announced.
 */
import type { Change } from '../../../shared/platform/redis/changes.ts'
import { contains, parseRevision, type Revision } from '../../../shared/platform/redis/revision.ts'

export class Outdated {
  /** Kind → ids: ten announcements of one document cost one read. */
  #documents = new Map<string, Set<string>>()
  /** Of the newest announcement. */
  #announced: Revision | undefined
  /** Own writes that were read before they are announced. */
  readonly #own = new Set<string>()

  /** Of the newest announcement. */
  get announced(): Revision | undefined {
    return this.#announced
  }

  /** @returns the revision of a write from which the numbers began anew: Redis has lost all that was before. */
  announce(change: Change, known: Revision | undefined): Revision | undefined {
    const revision = change.revision === undefined ? undefined : parseRevision(change.revision)
    if (change.revision === undefined || !this.#own.delete(change.revision)) this.#add(change)
    if (!revision) return undefined
    const before = this.#announced ?? known
    this.#announced = revision
    return before?.epoch === revision.epoch ? undefined : revision
  }

  /** A write of this process. */
  wrote(change: Change & { revision: string }): void {
    const revision = parseRevision(change.revision)
    if (revision && contains(this.#announced, revision)) return
    this.#own.add(change.revision)
    this.#add(change)
  }

  /** Begins anew. @returns what is to be read now. */
  take(): ReadonlyMap<string, ReadonlySet<string>> {
    const documents = this.#documents
    this.#documents = new Map()
    return documents
  }

  /** Everything is read again: announcements that did not come will not come. */
  clear(): void {
    this.#own.clear()
  }

  #add({ kind, id }: Change): void {
    const ids = this.#documents.get(kind) ?? new Set()
    this.#documents.set(kind, ids.add(id))
  }
}
