/** What the planner asks of inference services: to load a deployment, to let go of it, to run it. */
import { z } from 'zod'
import { createJsonClient, type JsonClient } from '../../../shared/client/http.ts'
import { createInferenceClient } from '../../../shared/client/inference.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { type Credentials, shownTo } from '../../../shared/platform/credentials.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

export interface ResourceCallsDeps {
  /** Shown to the resources. */
  credentials?: Credentials
  state: State
  log: Logger
  /** ms that a resource may take to load its layers, and for one run. */
  deployTimeoutMs: number
}

export class ResourceCalls {
  readonly #deps: ResourceCallsDeps

  constructor(deps: ResourceCallsDeps) {
    this.#deps = deps
  }

  /** Has a resource load its layers of a deployment. @throws ScissionError with its reason; notFound, misdirected, cancelled. */
  async tell(resource: string, deployment: Deployment, signal?: AbortSignal): Promise<void> {
    const client = this.#client(await this.#registered(resource))
    await client.request(Loaded, {
      method: 'PUT',
      url: pathOf(deployment),
      params: { resource },
      data: deployment,
      timeout: this.#deps.deployTimeoutMs,
      ...(signal && { signal }),
    })
  }

  /**
   * Best effort: a resource that cannot be reached loads nothing for a deployment that is not on record. A later
   * deployment of the same name stays.
   */
  async letGo(resources: readonly string[], deployment: Deployment): Promise<void> {
    const { createdAt } = deployment
    for (const name of resources) {
      try {
        const resource = await this.#deps.state.resources.get(name)
        if (!resource) continue
        const client = this.#client(resource)
        await client.send({
          method: 'DELETE',
          url: pathOf(deployment),
          params: { createdAt, resource: name },
        })
      } catch (error) {
        this.#deps.log.warn({ err: coerceError(error), resource: name }, `could not release ${deployment.id}`)
      }
    }
  }

  /**
   * Runs a deployment that the resource was told of, from its entry.
   * @param maxBytes of the answer. @throws ScissionError as the resource says; payloadTooLarge for a longer answer.
   */
  async run(
    { id, entry }: Deployment,
    inputs: readonly Tensor[],
    { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
  ): Promise<Tensor[]> {
    const resource = await this.#registered(entry.resource)
    const timeoutMs = this.#deps.deployTimeoutMs
    const client = createInferenceClient(
      entry.resource,
      addressOf(resource),
      undefined,
      this.#deps.credentials,
    )
    const { outputs } = await client.infer(id, inputs, {}, { timeoutMs, maxBytes, signal })
    return outputs
  }

  #client(resource: Resource): JsonClient {
    return createJsonClient(
      `resource ${resource.name}`,
      addressOf(resource),
      undefined,
      shownTo(resource.name, this.#deps.credentials),
    )
  }

  /** As it is on record now: the view may not have seen yet that it was started again, at another address. */
  async #registered(resource: string): Promise<Resource> {
    const found = await this.#deps.state.resources.get(resource)
    if (found) return found
    throw new ScissionError('notFound', `resource ${resource} is not registered`)
  }
}

/** At which services call it. */
const addressOf = ({ url, internalUrl }: Resource): string => internalUrl ?? url

/** What is no inference service may answer 200 to anything. */
const Loaded = z.looseObject({ ready: z.literal(true) })

const pathOf = ({ id }: Deployment): string => `/v1/deployments/${encodeURIComponent(id)}`

/** The resources of a deployment: those on the path and those that stand by. */
export const resourcesOf = ({ hops }: Deployment): string[] => [
  ...new Set(hops.flatMap((hop) => [hop.resource, ...(hop.alternates ?? [])])),
]
