/**
 * The other resources: which are registered, which are alive, and their addresses as seen from here. Only registered
 * resources are ever called. A known resource stays known while Redis is away.
 */
import { type Credentials, type Shown, shownTo } from '../../../shared/platform/credentials.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import type { Routes } from '../../../shared/platform/service/service-config.ts'
import { type LinkEmulation, type Resource, isAlive } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { StaleWhileRevalidateCache } from '../../../shared/platform/redis/stale-while-revalidate-cache.ts'

export interface Peer {
  resource: Resource
  /** Address of the resource as seen from here. */
  url: string
  emulation: LinkEmulation | undefined
  /** Shown to it by whoever calls it. */
  shown?: Shown | undefined
}

export class Peers {
  readonly #state: State
  readonly #routes: Routes
  readonly #heartbeatMs: number
  readonly #known: StaleWhileRevalidateCache<Resource>
  readonly #credentials: Credentials | undefined

  constructor(state: State, routes: Routes, heartbeatMs: number, credentials?: Credentials) {
    this.#credentials = credentials
    this.#state = state
    this.#routes = routes
    this.#heartbeatMs = heartbeatMs
    this.#known = new StaleWhileRevalidateCache(
      'resources',
      (name) => state.resources.need(name),
      state.memory,
    )
  }

  /** A resource from the cache, from Redis if it is unknown. @throws ScissionError peerUnavailable if it is not registered. */
  find(name: string): Promise<Peer> {
    return this.#find(name, this.#known.getSoon(name))
  }

  /** A resource as Redis knows it now. @throws as find. */
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

  /** The alive resources of tiers after `tierIndex`, to which a request can be forwarded. */
  async later(tierIndex: number): Promise<Peer[]> {
    const resources = await this.#state.resources.all()
    const now = await this.#state.clock.read()
    return resources
      .filter((resource) => resource.tierIndex > tierIndex)
      .filter((resource) => isAlive(resource, this.#heartbeatMs, now))
      .map((resource) => this.#peer(resource))
  }

  #peer(resource: Resource): Peer {
    const route = this.#routes[resource.name]
    const shown = shownTo(resource.name, this.#credentials)
    const url = route?.url ?? resource.internalUrl ?? resource.url
    return { resource, url, emulation: route?.emulation, shown }
  }

  onChange(change: Change): void {
    this.#known.onChange(change)
  }

  onResync(): void {
    this.#known.onResync()
  }
}
