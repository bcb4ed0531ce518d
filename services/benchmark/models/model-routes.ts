/** HTTP routes to upload, look up and delete models. */
import { z } from 'zod'
import { ModelId, Name, PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { namesOf } from '../../../shared/contracts/model-names.ts'
import { AnalysisRequest, Model, Structure, UploadedModel } from '../../../shared/contracts/model.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { askerOf } from '../../../shared/platform/http-server/client-of.ts'
import { OCTETS, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { yesOrNo } from '../../../shared/contracts/query-values.ts'
import { checkRange } from '../../../shared/onnx/index.ts'
import { modelLock, withLock } from '../../../shared/platform/redis/lock.ts'
import { findModel, paginate } from '../../../shared/platform/redis/state.ts'
import { FORM_HINT } from './receive-upload.ts'
import { drainIfRefused } from '../drain.ts'
import { ModelPath, shapesOf, shapesText } from './model-query.ts'
import { type IngestDeps, ingestUpload } from './ingest.ts'
import { SamplesPart } from '../samples/receive-samples.ts'
import { withFindings } from './with-findings.ts'

export interface ModelDeps extends IngestDeps {
  /** @throws ScissionError conflict if a benchmark of the model is under way. */
  refuseWhileMeasured: (model: Model) => Promise<void>
}

/** A name must not look like an id: ids are looked up first, so the name could never be found. */
const ModelName = Name.refine(
  (name) => !ModelId.safeParse(name).success,
  'a name must not look like a model id',
)
/** External data files are further parts, under any names. */
const ModelForm = z
  .object({ model: z.file().describe('the ONNX file'), samples: SamplesPart.optional() })
  .catchall(z.file())
  .meta({ id: 'ModelForm' })
const LOCATION = { Location: 'Path of the model' }
const UploadQuery = z.object({
  name: ModelName.meta({ description: 'by which the model is found', examples: ['mobilenetv2'] }),
  shapes: shapesText,
})
const ModelPage = pageOf(Model).meta({ id: 'ModelPage' })
const index = z.coerce.number().int().nonnegative().optional()
const LayersQuery = z.object({
  shapes: shapesText,
  open: yesOrNo
    .optional()
    .describe('with the dimensions open that the file leaves open: these layers take any size of them'),
  from: index.describe('only layers from..to-1 and boundaries from..to'),
  to: index,
})

export function modelRoutes(deps: ModelDeps): Route[] {
  return [
    uploadRoute(deps),
    route({
      method: 'get',
      path: '/v1/models',
      id: 'listModels',
      access: 'read',
      summary: 'Models, by first name and version; `aliases` are their other names',
      query: PageQuery,
      answers: { 200: { description: 'A page of models', schema: ModelPage } },
      handle: async ({ query }) => {
        const keyOf = (model: Model) => `${model.name}@${String(model.version).padStart(9, '0')}`
        const models = await deps.state.models.all()
        return paginate(
          models.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
          keyOf,
          query,
        )
      },
    }),
    route({
      method: 'get',
      path: '/v1/models/:model',
      id: 'readModel',
      access: 'read',
      summary: 'One model by id, name or name@version',
      params: ModelPath,
      answers: { 200: { description: 'The model', schema: UploadedModel } },
      handle: async ({ params }) => {
        const model = await findModel(deps.state, params.model)
        const structure = model.shapesKey === null ? undefined : await deps.analyses.find(model)
        return withFindings(model, structure ?? null)
      },
    }),
    layersRoute(deps),
    analyseRoute(deps),
    route({
      method: 'delete',
      path: '/v1/models/:model',
      id: 'deleteModel',
      access: 'operate',
      summary: 'Delete a model with its profiles; by one of several names, only that name',
      params: ModelPath,
      answers: { 204: { description: 'Gone' } },
      fails: ['conflict'],
      handle: async ({ params }) => {
        await deleteModel(deps, params.model)
        return reply(204)
      },
    }),
  ]
}

function uploadRoute(deps: ModelDeps): Route {
  return route({
    method: 'post',
    path: '/v1/models',
    id: 'uploadModel',
    access: 'operate',
    summary: 'Upload an ONNX file; the same bytes again answer with the same id',
    description: `With external data or samples send a form (multipart/form-data): ${FORM_HINT}.`,
    query: UploadQuery,
    rawBody: {
      description: `The ONNX file; or a form, in which ${FORM_HINT}`,
      content: { ...OCTETS, 'multipart/form-data': { schema: ModelForm } },
    },
    answers: {
      201: { description: 'New', schema: UploadedModel, headers: LOCATION },
      200: { description: 'These bytes were here already', schema: UploadedModel, headers: LOCATION },
    },
    fails: [
      'conflict',
      'invalidTensor',
      'invalidModel',
      'needsInputShapes',
      'tooManyRequests',
      'overloaded',
      'deadlineExceeded',
    ],
    handle: ({ query }, req, res) => {
      const shapes = shapesOf(query)
      return drainIfRefused(req, res, async () => {
        const { model, created } = await ingestUpload(
          deps,
          req,
          { name: query.name, shapes },
          { asker: askerOf(req, res), identity: identityOf(req) },
        )
        return reply(created ? 201 : 200, model, { Location: `/v1/models/${model.id}` })
      })
    },
  })
}

function layersRoute(deps: ModelDeps): Route {
  return route({
    method: 'get',
    path: '/v1/models/:model/layers',
    id: 'readLayers',
    access: 'read',
    summary: 'Its layers and boundaries, if it was analysed with these shapes',
    description:
      'Nothing is analysed for it: if it was not yet, the answer is 409, and POST at the same address analyses it.',
    params: ModelPath,
    query: LayersQuery,
    answers: { 200: { description: 'The structure', schema: Structure } },
    fails: ['invalidRange', 'needsInputShapes', 'conflict'],
    handle: async ({ params, query }) => {
      const model = await findModel(deps.state, params.model)
      const shapes = shapesOf(query)
      const { analyses } = deps
      const structure = await (query.open ? analyses.findOpen(model) : analyses.find(model, shapes))
      if (!structure) throw notAnalysed(model)
      const { from = 0, to = structure.layers.length } = query
      checkRange(structure, from, to)
      return {
        ...structure,
        layers: structure.layers.slice(from, to),
        boundaries: structure.boundaries.slice(from, to + 1),
      }
    },
  })
}

const notAnalysed = ({ name }: Model) =>
  new ScissionError(
    'conflict',
    `model ${name} was not analysed this way yet: POST /v1/models/${name}/layers, with inputShapes or "open": true in the ` +
      'body, analyses it, which may take long',
  )

function analyseRoute(deps: ModelDeps): Route {
  return route({
    method: 'post',
    path: '/v1/models/:model/layers',
    id: 'analyseModel',
    access: 'manage',
    summary: 'Analyse it with these input shapes, unless that was done before',
    description: 'The same request again costs nothing. GET at the same address answers from then on.',
    params: ModelPath,
    body: AnalysisRequest,
    answers: { 200: { description: 'The structure', schema: Structure } },
    fails: ['invalidModel', 'needsInputShapes', 'tooManyRequests', 'overloaded', 'deadlineExceeded'],
    handle: async ({ params, body: { inputShapes, open } }, req, res) => {
      const model = await findModel(deps.state, params.model)
      const asker = askerOf(req, res)
      return open
        ? deps.analyses.open(model, asker, inputShapes)
        : deps.analyses.structure(model, asker, inputShapes)
    },
  })
}

/** @throws ScissionError conflict if a deployment serves the model or a benchmark measures it. */
async function deleteModel(deps: ModelDeps, idOrName: string): Promise<void> {
  const { id } = await findModel(deps.state, idOrName)
  const name = ModelId.safeParse(idOrName).success ? undefined : idOrName.split('@')[0]
  // Uses of a model begin under the same lock, and it gets its names under it. So this finds them, or they find the model
  // gone.
  await withLock(deps.state.redis, modelLock(id), async () => {
    const model = await deps.state.models.get(id)
    const names = model ? namesOf(model) : []
    // Somebody else has deleted the model or the name.
    if (!model || (name !== undefined && !names.some((own) => own.name === name))) return
    if (name !== undefined && names.length > 1) await deps.registry.removeName(id, name)
    else await deleteUnused(deps, model)
  })
}

async function deleteUnused(deps: ModelDeps, model: Model): Promise<void> {
  const deployments = await deps.state.deployments.all()
  const using = deployments.filter((deployment) => deployment.model === model.id).map(({ id }) => id)
  if (using.length > 0)
    throw new ScissionError(
      'conflict',
      `model ${model.name} is in use by deployment ${using.join(', ')}; delete that first at the planner service`,
      { deployments: using },
    )
  await deps.refuseWhileMeasured(model)
  await deps.registry.remove(model)
}
