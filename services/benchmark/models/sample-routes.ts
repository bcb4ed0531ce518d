/** HTTP routes of a model's samples: give, describe, fetch and remove values for its inputs. */
import path from 'node:path'
import { z } from 'zod'
import { type Model, Samples, UploadedModel } from '../../../shared/contracts/model.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import type { Holdings } from '../../../shared/platform/access/holdings.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { askerOf } from '../../../shared/platform/http-server/client-of.ts'
import { OCTETS, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { JsonLengthHeader, RequestTensor } from '../../../shared/oip/schemas.ts'
import { samplesFile } from '../../../shared/onnx/sample-inputs/samples.ts'
import type { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { findModel } from '../../../shared/platform/redis/state.ts'
import { drainIfRefused } from '../drain.ts'
import { ModelPath, shapesOf, shapesText } from './model-query.ts'
import { FileHeaders, fileAnswers } from './file-answers.ts'
import { sendFile } from './send-file.ts'
import { giveSamples, type SampleDeps, takeSamples } from './give-samples.ts'
import { receiveSamples, SamplesPart } from '../samples/receive-samples.ts'
import type { SampleReader } from '../samples/sample-reader.ts'

export interface SampleRouteDeps extends SampleDeps {
  samples: SampleReader
  holdings: Holdings
  /** By model id: of two simultaneous changes the second waits. */
  uploads: KeyedLock
}

const GiveQuery = z.object({
  shapes: shapesText.describe(
    'the model’s own input shapes from now on; absent: those it has, else those of the samples',
  ),
})
const SamplesRequest = z.object({ inputs: z.array(RequestTensor).min(1) }).meta({ id: 'SamplesRequest' })
const SamplesForm = z.object({ samples: SamplesPart }).meta({ id: 'SamplesForm' })

export function modelSampleRoutes(deps: SampleRouteDeps): Route[] {
  return [
    giveRoute(deps),
    route({
      method: 'get',
      path: '/v1/models/:model/samples',
      id: 'readModelSamples',
      access: 'read',
      summary: 'Which inputs have samples',
      params: ModelPath,
      answers: { 200: { description: 'Their description', schema: Samples } },
      handle: async ({ params }) => samplesOf(await findModel(deps.state, params.model)),
    }),
    dataRoute(deps),
    route({
      method: 'delete',
      path: '/v1/models/:model/samples',
      id: 'removeModelSamples',
      access: 'operate',
      summary: 'Remove the samples: from now on all values are made up',
      params: ModelPath,
      answers: { 204: { description: 'Gone' } },
      fails: ['conflict', 'tooManyRequests', 'overloaded', 'deadlineExceeded'],
      handle: async ({ params }, req, res) => {
        const { id } = await findModel(deps.state, params.model)
        await deps.uploads.run(id, async () =>
          takeSamples(deps, await deps.state.models.need(id), askerOf(req, res)),
        )
        return reply(204)
      },
    }),
  ]
}

function giveRoute(deps: SampleRouteDeps): Route {
  return route({
    method: 'put',
    path: '/v1/models/:model/samples',
    id: 'giveModelSamples',
    access: 'operate',
    summary: 'Give values for the model’s inputs; they replace those it has',
    description:
      'The body is a .npz file whose arrays have the names of the inputs, or `inputs` as in the Open Inference Protocol, JSON ' +
      'or binary; or a form with the field `samples`, several of them for .npy files that are named like their inputs. The ' +
      'model is analysed again with them; later it is measured, checked and demonstrated with them. Inputs without samples ' +
      'are made up.',
    params: ModelPath,
    query: GiveQuery,
    headers: JsonLengthHeader,
    rawBody: {
      description: 'A .npz file, or tensors; of other types than a form, the media type is not read',
      content: {
        ...OCTETS,
        'application/json': { schema: SamplesRequest },
        'multipart/form-data': { schema: SamplesForm },
      },
    },
    answers: { 200: { description: 'The model', schema: UploadedModel } },
    fails: [
      'invalidTensor',
      'invalidModel',
      'needsInputShapes',
      'tooManyRequests',
      'overloaded',
      'deadlineExceeded',
    ],
    handle: ({ params, query }, req, res) => {
      const shapes = shapesOf(query)
      const asker = askerOf(req, res)
      return drainIfRefused(req, res, async () => {
        const { id } = await findModel(deps.state, params.model)
        const { limitBytes } = deps.samples
        return deps.holdings.reserving(
          identityOf(req),
          { bytes: { least: 1, most: limitBytes } },
          async (grant) => {
            const given = await deps.samples.read(await receiveSamples(req, limitBytes), asker)
            return deps.uploads.run(id, async () =>
              giveSamples(deps, await deps.state.models.need(id), given, shapes, asker, grant),
            )
          },
        )
      })
    },
  })
}

function dataRoute(deps: SampleRouteDeps): Route {
  return route({
    method: 'get',
    path: '/v1/models/:model/samples/data',
    id: 'readModelSampleData',
    access: 'machine',
    summary: 'The samples: input behind input, in the order of their description, little-endian',
    params: ModelPath,
    headers: FileHeaders,
    answers: fileAnswers('Raw bytes', 'They may change: ask again, with the ETag'),
    handle: async ({ params }, req, res) => {
      const model = await findModel(deps.state, params.model)
      const samples = samplesOf(model)
      await deps.store.needRecord(model.id)
      const file = path.join(deps.store.folder(model.id), samplesFile(samples))
      // The name stays while the content changes: a client asks again, and is told if it has it already.
      await sendFile(req, res, { ...samples, path: file }, 'no-cache')
    },
  })
}

/** @throws ScissionError notFound if it has none. */
function samplesOf({ name, id, samples }: Model): Samples {
  if (samples) return samples
  throw new ScissionError(
    'notFound',
    `model ${name} has no samples: its inputs are made up; give it some with PUT /v1/models/${id}/samples`,
  )
}
