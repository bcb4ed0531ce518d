/** Routes of the model repository extension: index, load, unload. Models come from the benchmark service's registry. */
import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { namesOf } from '../../../shared/contracts/model-names.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { type JsonObject, optionalMember } from '../../../shared/oip/exact-json.ts'
import { RequestParameters } from '../../../shared/oip/schemas.ts'
import { LOADING_FAILURES } from './serving-failures.ts'
import { TargetName } from './target-path.ts'
import { booleanParameter, readParameters } from '../../../shared/oip/parameters.ts'
import type { Deployments } from '../forwarding/deployment-hops.ts'
import type { Catalog } from '../serving/models/catalog.ts'
import type { LoadedModels } from '../serving/models/loaded-models.ts'
import type { Targets } from '../serving/models/target.ts'
import { parseTargetName } from '../serving/models/target-name.ts'
import { parseObject } from '../../../shared/oip/binary-message.ts'
import { readBody } from '../messages/body.ts'

export interface RepositoryDeps {
  catalog: Catalog
  models: LoadedModels
  deployments: Deployments
  targets: Targets
}

const IndexEntry = z
  .object({
    name: z.string(),
    version: z.string().optional(),
    state: z.string().describe('READY, LOADING, UNLOADING or UNAVAILABLE'),
    reason: z.string(),
  })
  .meta({ id: 'RepositoryIndexEntry' })
type IndexEntry = z.infer<typeof IndexEntry>
const Named = z.object({ model: TargetName })
const IndexRequest = z.object({ ready: z.boolean().nullish().describe('only what is ready') })
const UnloadRequest = z.object({
  parameters: z.object({ unload_dependents: z.boolean().nullish() }).nullish(),
})
/** Triton's clients send parameters, of which those that bring files are refused. */
const LoadRequest = z.object({ parameters: RequestParameters.nullish() })
const small = (description: string, schema: z.ZodType) => ({
  description: `${description}; may be empty`,
  optional: true as const,
  content: { 'application/json': { schema } },
})
/** Triton answers loading and unloading with an empty body. */

export function repositoryRoutes(deps: RepositoryDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v2/repository/index',
      id: 'readRepositoryIndex',
      access: 'read',
      summary: 'Every model under each of its names, loaded layer range and deployment here, with its state',
      rawBody: small('Which entries', IndexRequest),
      answers: { 200: { description: 'The index', schema: z.array(IndexEntry) } },
      handle: async (_input, req) => {
        const onlyReady = readyOf(await readSmallBody(req))
        const entries = await indexOf(deps)
        return onlyReady ? entries.filter((entry) => entry.state === 'READY') : entries
      },
    }),
    route({
      method: 'post',
      path: '/v2/repository/models/:model/load',
      id: 'loadModel',
      access: 'manage',
      summary: 'Load a model, a layer range (model:from-to) or a deployment; answers when it is ready',
      params: Named,
      rawBody: small('Parameters', LoadRequest),
      answers: { 200: { description: 'Loaded' } },
      fails: LOADING_FAILURES,
      handle: async ({ params }, req) => {
        refuseFiles(await readSmallBody(req))
        await load(deps, params.model)
        return reply(200)
      },
    }),
    route({
      method: 'post',
      path: '/v2/repository/models/:model/unload',
      id: 'unloadModel',
      access: 'manage',
      summary: 'Unload; requests under way finish',
      params: Named,
      rawBody: small('Parameters', UnloadRequest),
      answers: { 200: { description: 'Unloaded' } },
      fails: ['conflict'],
      handle: async ({ params }, req) => {
        const parameters = readParameters(await readSmallBody(req), 'the request')
        const dependents = booleanParameter(parameters, 'unload_dependents', 'the request') ?? false
        const { base } = parseTargetName(params.model)
        if (deps.deployments.stateOf(base)) {
          throw new ScissionError(
            'conflict',
            `${base} is a deployment: the planner takes it out of service (DELETE /v1/deployments/${base})`,
          )
        }
        await deps.models.unload(params.model, dependents)
        return reply(200)
      },
    }),
  ]
}

const BODY_LIMITS = { maxBytes: 1024 * 1024, idleMs: 10_000 }

/** Reads a JSON body: empty, or an object. @throws ScissionError badRequest, payloadTooLarge. */
async function readSmallBody(req: IncomingMessage): Promise<JsonObject> {
  const { json } = await readBody(req, BODY_LIMITS)
  return json.length === 0 ? {} : parseObject(json)
}

function readyOf(body: JsonObject): boolean {
  const ready = optionalMember(body, 'ready') ?? false
  if (typeof ready === 'boolean') return ready
  throw new ScissionError('badRequest', "Invalid value for 'ready': expected a boolean")
}

/** Refuses configuration and files in a request: Triton accepts them, but here models come only from the registry. */
function refuseFiles(body: JsonObject): void {
  const refused = Object.keys(readParameters(body, 'the request')).find(
    (key) => key === 'config' || key.startsWith('file:'),
  )
  if (refused === undefined) return
  throw new ScissionError(
    'badRequest',
    `parameter '${refused}' is not supported: upload models to the benchmark service (POST /v1/models)`,
  )
}

/** A deployment is loaded as a whole, also for those that enter it at a cut (`name:from-to`), if it has that cut. */
async function load({ deployments, models, targets }: RepositoryDeps, name: string): Promise<void> {
  const { base, range } = parseTargetName(name)
  const deployment = await deployments.record(base)
  if (!deployment) return models.load(name)
  if (range) await targets.find(name)
  await deployments.prepare(deployment)
}

async function indexOf({ catalog, models, deployments }: RepositoryDeps): Promise<IndexEntry[]> {
  const registered = await Promise.all(
    (await catalog.all()).map(async (model) => {
      const state = await models.stateOf(model)
      return namesOf(model).map(({ name, version }) => ({ name, version: String(version), ...state }))
    }),
  )
  const ranges = (await models.loaded()).flatMap(({ name, version, state, whole }) =>
    whole ? [] : [{ name, version, state, reason: '' }],
  )
  const live = deployments.held().map(({ id }) => ({
    name: id,
    version: '1',
    state: deployments.stateOf(id) === 'ready' ? 'READY' : 'LOADING',
    reason: '',
  }))
  return [...registered.flat(), ...ranges, ...live]
}
