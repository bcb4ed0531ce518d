/**
 * The other resources: who is registered, alive, and how to reach them from here. Nothing else is ever called, and a
 * resource that was known stays known while Redis is away.
 */
import type { Change } from '../../../shared/platform/redis/changes.ts'
import { withLiveness } from '../../../shared/contracts/alive.ts'
import type { Routes } from '../../../shared/platform/service/service-config.ts'
import type { LinkEmulation, Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { StaleWhileRevalidateCache } from '../../../shared/platform/redis/stale-while-revalidate-cache.ts'

export interface Peer {
  resource: Resource
  /** Where to call it from here. */
  url: string
  emulation: LinkEmulation | undefined
}

export class Peers {
  readonly #state: State
  readonly #routes: Routes
  readonly #heartbeatMs: number
  readonly #known: StaleWhileRevalidateCache<Resource>

  constructor(state: State, routes: Routes, heartbeatMs: number) {
    this.#state = state
    this.#routes = routes
    this.#heartbeatMs = heartbeatMs
    this.#known = new StaleWhileRevalidateCache('resources', (name) => state.resources.need(name))
  }

  /** As last known. @throws ScissionError peerUnavailable when no such resource is registered. */
  find(name: string): Promise<Peer> {
    return this.#find(name, this.#known.getSoon(name))
  }

  /** The same, after asking Redis. */
  findNow(name: string): Promise<Peer> {
    return this.#find(name, this.#known.get(name))
  }

  async #find(name: string, resource: Promise<Resource>): Promise<Peer> {
    try {
      return this.#peer(await resource)
    } catch (error) {
      if (!(error instanceof ScissionError) || error.code !== 'notFound') throw error
      throw new ScissionError(
        'peerUnavailable',
        `resource ${name} is not registered: its inference service is not running or has left`,
        { resource: name },
      )
    }
  }

  /** Alive resources of a tier behind `tierIndex`: those that a request can move on to. */
  async later(tierIndex: number): Promise<Peer[]> {
    const now = Date.now()
    const resources = await this.#state.resources.all()
    return resources
      .filter((resource) => resource.tierIndex > tierIndex)
      .filter((resource) => withLiveness(resource, this.#heartbeatMs, now).alive)
      .map((resource) => this.#peer(resource))
  }

  #peer(resource: Resource): Peer {
    const route = this.#routes[resource.name]
    return { resource, url: route?.url ?? resource.url, emulation: route?.emulation }
  }

  onChange(change: Change): void {
    this.#known.onChange(change)
  }

  onResync(): void {
    this.#known.onResync()
  }
}
