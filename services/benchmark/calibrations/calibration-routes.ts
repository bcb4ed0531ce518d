/** HTTP routes of calibrations, which measure each codec's accuracy loss and compression at each boundary. */
import { z } from 'zod'
import { Calibration, CalibrationRequest, CalibrationSamples } from '../../../shared/contracts/calibration.ts'
import { JsonLengthHeader, RequestTensor } from '../../../shared/oip/schemas.ts'
import { PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import { askerOf } from '../../../shared/platform/http-server/client-of.ts'
import { OCTETS, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { findModel, paginate } from '../../../shared/platform/redis/state.ts'
import { type CalibrationDeps, endCalibration, startCalibration, withLostJob } from './calibrations.ts'
import { drainIfRefused } from '../drain.ts'
import { streamFile } from '../models/send-file.ts'
import { receiveRequest } from './sample-files.ts'

const ById = z.object({ id: z.string().regex(/^[0-9a-f]{12}-[0-9a-f]{12}$/, 'not the id of a calibration') })
const ListQuery = PageQuery.extend({ model: z.string().optional().describe('id, name or name@version') })
/** Lists leave out the cells: GET of one calibration returns them. */
const Listed = Calibration.omit({ cells: true }).meta({ id: 'ListedCalibration' })
const CalibrationPage = pageOf(Listed).meta({ id: 'CalibrationPage' })
const SampledRequest = CalibrationRequest.extend({
  inputs: z.array(RequestTensor).optional().describe('samples; without them, they are made up'),
}).meta({ id: 'SampledCalibrationRequest' })
const CalibrationForm = z
  .object({
    request: CalibrationRequest,
    labels: z.file().optional().describe('JSON list or .npy file'),
  })
  .catchall(z.file())
  .meta({ id: 'CalibrationForm' })

export function calibrationRoutes(deps: CalibrationDeps): Route[] {
  return [
    startRoute(deps),
    route({
      method: 'get',
      path: '/v1/calibrations',
      id: 'listCalibrations',
      access: 'read',
      summary: 'Calibrations, of one model if asked, without their cells',
      query: ListQuery,
      answers: { 200: { description: 'A page of calibrations', schema: CalibrationPage } },
      fails: ['notFound'],
      handle: async ({ query }) => {
        const model = query.model === undefined ? undefined : await findModel(deps.state, query.model)
        const all = await deps.state.calibrations.all()
        const page = paginate(
          all.filter((one) => model === undefined || one.model === model.id),
          ({ id }) => id,
          query,
        )
        const items = await Promise.all(page.items.map((one) => withLostJob(deps, one)))
        return { ...page, items: items.map(({ cells: _cells, ...listed }) => listed) }
      },
    }),
    route({
      method: 'get',
      path: '/v1/calibrations/:id',
      id: 'readCalibration',
      access: 'read',
      summary: 'One calibration: how far it is, and its cells once it is completed',
      params: ById,
      answers: { 200: { description: 'The calibration', schema: Calibration } },
      handle: async ({ params }) => withLostJob(deps, await deps.state.calibrations.need(params.id)),
    }),
    route({
      method: 'delete',
      path: '/v1/calibrations/:id',
      id: 'endCalibration',
      access: 'operate',
      summary: 'Cancel a calibration under way; delete one that has ended',
      params: ById,
      answers: {
        200: { description: 'Told to stop; it stays on record', schema: Calibration },
        204: { description: 'Gone, with its samples' },
      },
      handle: async ({ params }) => (await endCalibration(deps, params.id)) ?? reply(204),
    }),
    ...sampleRoutes(deps),
  ]
}

function startRoute(deps: CalibrationDeps): Route {
  return route({
    method: 'post',
    path: '/v1/calibrations',
    id: 'startCalibration',
    access: 'operate',
    summary: 'Run a model with every codec at every single-tensor cut, on sample inputs',
    description:
      'The request’s own fields, and `inputs` as in the Open Inference Protocol, JSON or binary (then with ' +
      'Inference-Header-Content-Length), each with a leading axis of samples: [samples, …the input’s shape]. ' +
      'Or multipart/form-data: `request` with the JSON, `labels` (JSON or .npy), and .npy files under the names of ' +
      'the inputs, or a .npz file that holds them.',
    headers: JsonLengthHeader,
    rawBody: {
      description: 'The request with its sample inputs',
      content: {
        'application/json': { schema: SampledRequest },
        ...OCTETS,
        'multipart/form-data': {
          schema: CalibrationForm,
          encoding: { request: { contentType: 'application/json' } },
        },
      },
    },
    answers: {
      202: { description: 'Queued', schema: Calibration, headers: { Location: 'Path of the calibration' } },
    },
    fails: [
      'notFound',
      'invalidTensor',
      'conflict',
      'notReady',
      'invalidModel',
      'needsInputShapes',
      'tooManyRequests',
      'overloaded',
      'deadlineExceeded',
    ],
    handle: async (_input, req, res) => {
      const { holdings, reader } = deps
      const asker = askerOf(req, res)
      // Whether it brings samples, or asks for made-up ones, is read in the body.
      const wanted = { jobs: 1, bytes: { least: 0, most: reader.limitBytes } }
      const calibration = await drainIfRefused(req, res, () =>
        holdings.reserving(identityOf(req), wanted, async (grant) =>
          startCalibration(deps, await receiveRequest(req, reader, asker), asker, grant),
        ),
      )
      return reply(202, calibration, { Location: `/v1/calibrations/${calibration.id}` })
    },
  })
}

/** Routes by which the resource that runs a calibration fetches its samples. */
function sampleRoutes({ samples }: CalibrationDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/calibrations/:id/samples/about',
      id: 'describeSamples',
      access: 'machine',
      summary: 'How many samples there are, and their labels',
      params: ById,
      answers: { 200: { description: 'What there is', schema: CalibrationSamples } },
      handle: ({ params }) => samples.about(params.id),
    }),
    route({
      method: 'get',
      path: '/v1/calibrations/:id/samples',
      id: 'readSamples',
      access: 'machine',
      summary: 'The given samples: sample behind sample, each the inputs in the model’s order, little-endian',
      params: ById,
      answers: { 200: { description: 'Raw bytes', content: OCTETS } },
      handle: async ({ params }, req, res) => {
        const file = await samples.file(params.id)
        res.type('application/octet-stream').set('Content-Length', String(file.bytes))
        await streamFile(req, res, file.path)
      },
    }),
  ]
}
