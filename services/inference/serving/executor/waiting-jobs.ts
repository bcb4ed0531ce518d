/**
 * What waits for an executor thread: runs of each client in turn, and what loads and unloads sessions as that of one more.
 *
 * A command that loads or unloads a session follows whatever of that session waited before it: a run that came before an unload
 * must find its session.
 */
import { FairLine } from '../../../../shared/platform/fair-line.ts'

export interface WaitingJob {
  kind: 'load' | 'run' | 'unload'
  /** Of its session. */
  key: string
  client: string
}

interface Follower<J> {
  job: J
  /** What must have left before. */
  before: Set<J>
}

export class WaitingJobs<J extends WaitingJob> {
  readonly #line = new FairLine<J>()
  #followers: Follower<J>[] = []

  get length(): number {
    return this.#line.length + this.#followers.length
  }

  get runs(): number {
    return this.#line.length - this.#line.countOf(COMMANDS)
  }

  items(): J[] {
    return [...this.#line.items(), ...this.#followers.map(({ job }) => job)]
  }

  add(job: J): void {
    const before = job.kind === 'run' ? [] : this.items().filter(({ key }) => key === job.key)
    if (before.length === 0) this.#line.add(clientOf(job), job)
    else this.#followers.push({ job, before: new Set(before) })
  }

  /** A job that need not wait began. */
  passed(job: J): void {
    this.#line.passed(clientOf(job))
  }

  take(): J | undefined {
    const job = this.#line.take()
    if (job) this.#left(job)
    return job
  }

  /** Does nothing if it is not here. */
  remove(job: J): void {
    if (!this.#line.remove(clientOf(job), job))
      this.#followers = this.#followers.filter((follower) => follower.job !== job)
    this.#left(job)
  }

  /** As FairLine.displaceFor, of runs. @param sent the client of the run that is at the thread already and has not begun. */
  displaceFor(client: string, sent: string | undefined): J | undefined {
    const elsewhere = (one: string) => (one === COMMANDS ? Infinity : one === sent ? 1 : 0)
    const job = this.#line.displaceFor(client, elsewhere)
    if (job) this.#left(job)
    return job
  }

  #left(job: J): void {
    if (this.#followers.length === 0) return
    for (const { before } of this.#followers) before.delete(job)
    const free = this.#followers.filter(({ before }) => before.size === 0)
    this.#followers = this.#followers.filter(({ before }) => before.size > 0)
    for (const one of free) this.#line.add(clientOf(one.job), one.job)
  }
}

/** Loading and unloading has a turn beside the clients. */
const COMMANDS = 'loading and unloading'

const clientOf = ({ kind, client }: WaitingJob) => (kind === 'run' ? client : COMMANDS)
