/**
 * The newest revision of the shared state that a client was told of. Clients of several services that share one are never
 * answered by one service from a state older than what another one has acknowledged.
 */
import {
  type AskedRevision,
  formatRevision,
  parseRevision,
  type Revision,
} from '../platform/redis/revision.ts'

export class KnownRevision {
  readonly #always: 'latest' | undefined
  readonly #onOutdated: (why: string) => void
  #revision: Revision | undefined

  /**
   * @param always `latest`: ask for all that was written by anybody before each call, for clients that cannot know of it, as
   *   one process after another. Costs the services one look at Redis per call.
   * @param onOutdated called before a question is asked again without that, because Redis cannot be asked, and why not: the answer is
   *   what the service knew before.
   */
  constructor(always?: 'latest', onOutdated: (why: string) => void = () => undefined) {
    this.#always = always
    this.#onOutdated = onOutdated
  }

  /** True if a question that Redis keeps from being answered is asked again for what the service knows. */
  get takesOutdated(): boolean {
    return this.#always === 'latest'
  }

  outdated(why: string): void {
    this.#onOutdated(why)
  }

  /** Value of the header Scission-At-Least-Revision; undefined if nothing is known yet. */
  get asked(): string | undefined {
    const asked: AskedRevision | undefined = this.#always ?? this.#revision
    return asked === undefined || asked === 'latest' ? asked : formatRevision(asked)
  }

  /** Takes note of an answer's header Scission-Revision. One of another epoch counts as newer. */
  note(header: unknown): void {
    const told = typeof header === 'string' ? parseRevision(header) : undefined
    if (!told) return
    const newer = this.#revision?.epoch !== told.epoch || told.number > this.#revision.number
    if (newer) this.#revision = told
  }
}
