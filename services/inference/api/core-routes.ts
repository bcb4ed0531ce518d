/** Routes of the Open Inference Protocol's core (health, metadata, inference) and its configuration and statistics extensions. */
import { z } from 'zod'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { type DirectHandler, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { VERSION } from '../../../shared/platform/version.ts'
import { parseLayerRange } from '../serving/models/target-name.ts'
import type { Targets } from '../serving/models/target.ts'
import { configurationOf, metadataOf, ModelConfiguration, ModelMetadata } from './describe-target.ts'
import { INFERENCE, ModelReadiness, ServerMetadata, ServerReadiness } from './core-answers.ts'
import { LOADING_FAILURES } from './serving-failures.ts'
import { LayersPath, TargetPath, VersionPath } from './target-path.ts'
import { StatisticsAnswer } from './request-statistics.ts'
import { answerInfer, type InferDeps } from './infer-request.ts'

/** The implemented extensions. */
const EXTENSIONS = [
  'binary_tensor_data',
  'model_repository',
  'model_repository(unload_dependents)',
  'model_configuration',
  'statistics',
  'parameters',
]

export interface ProtocolDeps extends InferDeps {
  targets: Targets
  executors: number
  /** @throws ScissionError with the reason if the service accepts no requests yet, or no more. */
  checkReady: () => void
  /** Models, ranges and deployments that are loaded. */
  loaded: () => Promise<{ name: string; version: string }[]>
}

export function healthRoutes(deps: ProtocolDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v2/health/live',
      id: 'readLiveness',
      access: 'anyone',
      summary: 'Whether the process answers',
      answers: { 200: { description: 'It does', schema: z.object({ live: z.literal(true) }) } },
      alone: true,
      handle: () => ({ live: true }),
    }),
    route({
      method: 'get',
      path: '/v2/health/ready',
      id: 'readServerReadiness',
      access: 'anyone',
      summary: 'Whether inference requests are taken',
      answers: {
        200: { description: 'They are', schema: ServerReadiness },
        503: { description: 'Not yet, or not any more; the error says why', schema: ServerReadiness },
      },
      alone: true,
      // The protocol's schema has `live` here, all servers answer `ready`: the answer has both.
      handle: () => {
        try {
          deps.checkReady()
        } catch (thrown) {
          return reply(503, { ready: false, error: coerceError(thrown).message })
        }
        return { live: true, ready: true }
      },
    }),
    route({
      method: 'get',
      path: '/v2',
      id: 'readServerMetadata',
      access: 'identified',
      summary: 'Server metadata',
      answers: {
        200: {
          description: 'Name, version, protocol extensions',
          schema: ServerMetadata,
        },
      },
      alone: true,
      handle: () => ({ name: 'scission', version: VERSION, extensions: EXTENSIONS }),
    }),
  ]
}

/** Routes of one model, with and without a version in the address. */
export function modelRoutes(deps: ProtocolDeps): Route[] {
  return [...modelRoutesAt(deps, MODEL), ...modelRoutesAt(deps, MODEL_VERSION)]
}

interface Address {
  path: string
  Path: z.ZodType<{ model: string; version?: string }>
  /** Of the operations' names. */
  suffix: string
}
const MODEL: Address = { path: '/v2/models/:model', Path: TargetPath, suffix: '' }
const MODEL_VERSION: Address = {
  path: '/v2/models/:model/versions/:version',
  Path: VersionPath,
  suffix: 'OfVersion',
}

function modelRoutesAt(deps: ProtocolDeps, address: Address): Route[] {
  return [...descriptionRoutes(deps, address), inferRoute(deps, address), modelStatisticsRoute(deps, address)]
}

function descriptionRoutes(deps: ProtocolDeps, { path, Path, suffix }: Address): Route[] {
  return [
    route({
      method: 'get',
      path: `${path}/ready`,
      id: `readModelReadiness${suffix}`,
      access: 'about',
      summary: 'Whether a model is loaded',
      params: Path,
      answers: {
        200: { description: 'It is', schema: ModelReadiness },
        503: { description: 'It is not; the error says why', schema: ModelReadiness },
      },
      fails: LOADING_FAILURES,
      handle: async ({ params }) => {
        const target = await deps.targets.find(params.model, params.version)
        try {
          target.checkReady()
        } catch (error) {
          if (!(error instanceof ScissionError)) throw error
          return reply(503, { name: target.name, ready: false, error: error.message })
        }
        return { name: target.name, ready: true }
      },
    }),
    route({
      method: 'get',
      path,
      id: `readModelMetadata${suffix}`,
      access: 'about',
      summary: 'Metadata of a model, a layer range (model:from-to) or a deployment',
      params: Path,
      answers: { 200: { description: 'Its tensors', schema: ModelMetadata } },
      fails: LOADING_FAILURES,
      handle: async ({ params }) => metadataOf(await deps.targets.find(params.model, params.version)),
    }),
    route({
      method: 'get',
      path: `${path}/config`,
      id: `readModelConfiguration${suffix}`,
      access: 'about',
      summary: 'Model configuration',
      params: Path,
      answers: { 200: { description: 'Triton’s ModelConfig', schema: ModelConfiguration } },
      fails: LOADING_FAILURES,
      handle: async ({ params }) =>
        configurationOf(await deps.targets.find(params.model, params.version), deps.executors),
    }),
  ]
}

function inferRoute(deps: ProtocolDeps, { path, Path, suffix }: Address): Route {
  const infer: DirectHandler = ({ model = '', version }, req, res) =>
    answerInfer(deps, () => deps.targets.find(model, version), req, res)
  return route({
    method: 'post',
    path: `${path}/infer`,
    id: `infer${suffix}`,
    access: 'infer',
    summary: 'Run a model, a layer range (model:from-to) or a deployment',
    params: Path,
    ...INFERENCE,
    handle: ({ params }, req, res) => infer(params, req, res),
    direct: infer,
  })
}

function modelStatisticsRoute(deps: ProtocolDeps, { path, Path, suffix }: Address): Route {
  return route({
    method: 'get',
    path: `${path}/stats`,
    id: `readModelStatistics${suffix}`,
    access: 'about',
    summary: 'Statistics of a model since start',
    params: Path,
    answers: {
      200: {
        description: 'One entry for each version, or for the one asked for',
        schema: StatisticsAnswer,
      },
    },
    fails: LOADING_FAILURES,
    handle: async ({ params }) => {
      const target = await deps.targets.find(params.model, params.version)
      const versions = params.version === undefined ? await target.versions() : [target.version]
      return { model_stats: versions.map((version) => deps.statistics.of(target.name, version)) }
    },
  })
}

export function statisticsRoute(deps: ProtocolDeps): Route {
  return route({
    method: 'get',
    path: '/v2/models/stats',
    id: 'readStatistics',
    access: 'read',
    summary: 'Statistics of everything that is loaded, or ran since start',
    answers: {
      200: {
        description: 'One entry per model version, layer range and deployment',
        schema: StatisticsAnswer,
      },
    },
    handle: async () => {
      const asked = deps.statistics.all()
      const isAsked = ({ name, version }: { name: string; version: string }) =>
        asked.some((entry) => entry.name === name && entry.version === version)
      const others = (await deps.loaded()).filter((entry) => !isAsked(entry))
      return {
        model_stats: [...asked, ...others.map(({ name, version }) => deps.statistics.of(name, version))],
      }
    },
  })
}

export function layerRoutes(deps: ProtocolDeps): Route[] {
  const find = async ({ model, from, to }: z.infer<typeof LayersPath>) =>
    deps.targets.find(model, undefined, parseLayerRange(`${from}-${to}`))
  const infer: DirectHandler = ({ model = '', from = '', to = '' }, req, res) =>
    answerInfer(deps, () => find({ model, from, to }), req, res)
  return [
    route({
      method: 'get',
      path: '/v2/models/:model/layers/:from-:to',
      id: 'readLayersMetadata',
      access: 'about',
      summary:
        'The tensors of the boundaries around a layer range, of a model or of a deployment from a cut on',
      params: LayersPath,
      answers: { 200: { description: 'Its tensors', schema: ModelMetadata } },
      fails: LOADING_FAILURES,
      handle: async ({ params }) => metadataOf(await find(params)),
    }),
    route({
      method: 'post',
      path: '/v2/models/:model/layers/:from-:to/infer',
      id: 'inferLayers',
      access: 'infer',
      summary: 'Run layers from..to-1 on the tensors of boundary `from`; answers with those of boundary `to`',
      description:
        'Of a deployment: enter it at a cut of its plan, on the resource whose stage begins at `from`; ' +
        '`to` is the end of the model.',
      params: LayersPath,
      ...INFERENCE,
      handle: ({ params }, req, res) => infer(params, req, res),
      direct: infer,
    }),
  ]
}
