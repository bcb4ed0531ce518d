/** HTTP routes of calibrations, which measure each codec's accuracy loss and compression at each boundary. */
import { z } from 'zod'
import { Calibration, CalibrationSamples } from '../../../shared/contracts/calibration.ts'
import { PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { findModel, paginate } from '../../../shared/platform/redis/state.ts'
import { type CalibrationDeps, endCalibration, startCalibration, withLostJob } from './calibrations.ts'
import { receiveRequest } from './sample-files.ts'

const ById = z.object({ id: z.string().regex(/^[0-9a-f]{12}-[0-9a-f]{12}$/, 'not the id of a calibration') })
const ListQuery = PageQuery.extend({ model: z.string().optional().describe('id, name or name@version') })
/** Lists leave out the cells: GET of one calibration returns them. */
const Listed = Calibration.omit({ cells: true })

export function calibrationRoutes(deps: CalibrationDeps): Route[] {
  return [
    startRoute(deps),
    route({
      method: 'get',
      path: '/v1/calibrations',
      summary: 'Calibrations, of one model if asked, without their cells',
      query: ListQuery,
      answers: { 200: { description: 'A page of calibrations', schema: pageOf(Listed) } },
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
      summary: 'One calibration: how far it is, and its cells once it is completed',
      params: ById,
      answers: { 200: { description: 'The calibration', schema: Calibration } },
      handle: async ({ params }) => withLostJob(deps, await deps.state.calibrations.need(params.id)),
    }),
    route({
      method: 'delete',
      path: '/v1/calibrations/:id',
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
    summary: 'Run a model with every codec at every single-tensor cut, on sample inputs',
    description:
      'The request’s own fields, and `inputs` as in the Open Inference Protocol, JSON or binary (then with ' +
      'Inference-Header-Content-Length), each with a leading axis of samples: [samples, …the input’s shape]. ' +
      'Or multipart/form-data: `request` with the JSON, `labels` (JSON or .npy), and .npy files under the names of ' +
      'the inputs, or a .npz file that holds them.',
    rawBody: { contentType: 'application/json', description: 'The request with its sample inputs' },
    answers: { 202: { description: 'Queued', schema: Calibration } },
    handle: async (_input, req) => {
      const calibration = await startCalibration(deps, await receiveRequest(req))
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
      summary: 'How many samples there are, and their labels',
      params: ById,
      answers: { 200: { description: 'What there is', schema: CalibrationSamples } },
      handle: ({ params }) => samples.about(params.id),
    }),
    route({
      method: 'get',
      path: '/v1/calibrations/:id/samples',
      summary: 'The given samples: sample behind sample, each the inputs in the model’s order, little-endian',
      params: ById,
      answers: { 200: { description: 'Raw bytes', contentType: 'application/octet-stream' } },
      handle: async ({ params }, _req, res) => {
        const bytes = await samples.bytes(params.id)
        res.type('application/octet-stream').send(bytes)
      },
    }),
  ]
}
