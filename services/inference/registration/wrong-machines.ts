/**
 * Notices peers at whose address another machine answers. What that one answers is not the peer's: it does not count, and is
 * said once, as a condition. While it holds the address is asked again now and then, until the peer itself answers.
 */
import { conditionId } from '../../../shared/contracts/condition.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Conditions } from '../../../shared/platform/redis/conditions.ts'
import type { Peer, Peers } from './peers.ts'
import { answererOf, wrongAddressText } from './who-answers.ts'

export interface WrongMachinesDeps {
  /** Name of this resource. */
  resource: string
  peers: Pick<Peers, 'findNow'>
  conditions: Pick<Conditions, 'begin' | 'end'>
  /** ms until a wrong address is asked again. @defaultValue 10000 */
  everyMs?: number
}

const EVERY_MS = 10_000

export class WrongMachines {
  readonly #deps: WrongMachinesDeps
  readonly #looking = new Map<string, Promise<ScissionError | undefined>>()
  readonly #again = new Map<string, NodeJS.Timeout>()
  #closed = false

  constructor(deps: WrongMachinesDeps) {
    this.#deps = deps
  }

  /**
   * Asks who answers at the address of a peer, for whoever has a reason to doubt it. Never rejects.
   * @returns an error that says what answers instead and what to do; undefined if it is the peer, or if nobody answers.
   */
  look(peer: Peer): Promise<ScissionError | undefined> {
    const { name } = peer.resource
    const looking = this.#looking.get(name) ?? this.#look(peer).finally(() => this.#looking.delete(name))
    this.#looking.set(name, looking)
    return looking
  }

  /** Looks in the background, unless it is known: every request may have the same doubt. */
  doubt(peer: Peer): void {
    if (!this.#again.has(peer.resource.name)) void this.look(peer)
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#again.values()) clearTimeout(timer)
  }

  async #look(peer: Peer): Promise<ScissionError | undefined> {
    const { resource, conditions } = this.#deps
    const answerer = await answererOf(peer)
    if (typeof answerer === 'string' || !(await this.#isStillThere(peer)) || this.#closed) return undefined
    const { name } = peer.resource
    const message = wrongAddressText(peer, answerer.instead, resource)
    conditions.begin({ kind: 'wrong-machine', about: [resource, name], resource: name, message })
    this.#lookLater(name)
    return new ScissionError('peerUnavailable', message, { resource: name, instead: answerer.instead })
  }

  /** False if it has started again or moved since its registration was read, or if Redis cannot say. */
  async #isStillThere({ url, resource }: Peer): Promise<boolean> {
    try {
      const now = await this.#deps.peers.findNow(resource.name)
      return now.url === url && now.resource.instance === resource.instance
    } catch {
      return false // Whoever doubted it has an error of its own to report.
    }
  }

  #lookLater(name: string): void {
    if (this.#closed) return
    clearTimeout(this.#again.get(name))
    const timer = setTimeout(() => void this.#lookAgain(name), this.#deps.everyMs ?? EVERY_MS)
    this.#again.set(name, timer.unref())
  }

  async #lookAgain(name: string): Promise<void> {
    const why = await this.#whyOver(name)
    if (why === undefined || this.#closed) return this.#lookLater(name)
    this.#again.delete(name)
    this.#deps.conditions.end(conditionId('wrong-machine', [this.#deps.resource, name]), why)
  }

  /** @returns why another machine no longer answers for a peer; undefined if it does, or if nobody can say. */
  async #whyOver(name: string): Promise<string | undefined> {
    try {
      const answerer = await answererOf(await this.#deps.peers.findNow(name))
      return answerer === 'itself' ? `${name} itself answers at its address now` : undefined
    } catch (error) {
      const hasLeft = error instanceof ScissionError && error.code === 'peerUnavailable'
      return hasLeft ? `${name} has left` : undefined
    }
  }
}
