/** HTTP routes by which a resource fetches a layer range: the manifest, the sub-model, and the weights by byte ranges. */
import path from 'node:path'
import { z } from 'zod'
import { ShapesKey } from '../../../shared/contracts/common.ts'
import { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { askerOf } from '../../../shared/platform/http-server/client-of.ts'
import { route, type Route } from '../../../shared/platform/http-server/route.ts'
import { findModel, type State } from '../../../shared/platform/redis/state.ts'
import type { Ranges } from './model-ranges.ts'
import { ModelPath } from './model-query.ts'
import { FileHeaders, fileAnswers } from './file-answers.ts'
import { sendFile } from './send-file.ts'
import type { ModelStore } from './model-store.ts'

export interface RangeDeps {
  state: State
  store: ModelStore
  ranges: Ranges
}

const RangePath = ModelPath.extend({
  range: z
    .string()
    .meta({ description: 'layer range from-to', examples: ['0-12'], pattern: '^\\d{1,9}-\\d{1,9}$' }),
})
const RangeQuery = z.object({
  shapesKey: ShapesKey.optional().describe('from the structure; the model’s own when absent'),
})
/** Express passes the segments that `*path` matched. */
const FilePath = ModelPath.extend({
  path: z.array(z.string()).meta({
    description: 'of the file in the model’s folder; its slashes stay as they are',
    inUrl: { type: 'string' },
    examples: ['model.onnx'],
  }),
})

const RANGE_FAILURES = [
  'invalidRange',
  'invalidModel',
  'needsInputShapes',
  'tooManyRequests',
  'overloaded',
  'deadlineExceeded',
] as const

export function rangeRoutes(deps: RangeDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/models/:model/ranges/:range/manifest',
      id: 'readRangeManifest',
      access: 'machine',
      summary: 'What a layer range takes and makes, and which weight chunks it needs',
      params: RangePath,
      query: RangeQuery,
      answers: { 200: { description: 'The manifest', schema: RangeManifest } },
      fails: RANGE_FAILURES,
      handle: async ({ params, query }, req, res) =>
        (await filesOf(deps, params, query, askerOf(req, res))).manifest,
    }),
    route({
      method: 'get',
      path: '/v1/models/:model/ranges/:range',
      id: 'readRange',
      access: 'machine',
      summary: 'A layer range as an ONNX file whose weights point into the model’s files',
      params: RangePath,
      query: RangeQuery,
      headers: FileHeaders,
      answers: fileAnswers('The sub-model; its ETag is its SHA-256'),
      fails: RANGE_FAILURES,
      handle: async ({ params, query }, req, res) => {
        const { manifest, file } = await filesOf(deps, params, query, askerOf(req, res))
        if (file === null || manifest.onnx === null)
          throw new ScissionError(
            'invalidRange',
            `layer range ${params.range} runs no layer, so there is no sub-model; its manifest says what passes through`,
          )
        await sendFile(req, res, { path: file, ...manifest.onnx })
      },
    }),
    route({
      method: 'get',
      path: '/v1/models/:model/files/*path',
      id: 'readModelFile',
      access: 'machine',
      summary: 'A file of the model as it was uploaded, whole or by a Range header',
      params: FilePath,
      headers: FileHeaders,
      answers: fileAnswers('The file'),
      handle: async ({ params }, req, res) => {
        const model = await findModel(deps.state, params.model)
        const wanted = params.path.join('/')
        const record = await deps.store.needRecord(model.id)
        const file = record.files.find((candidate) => candidate.path === wanted)
        if (!file) {
          const known = record.files.map((candidate) => candidate.path)
          throw new ScissionError(
            'notFound',
            `model ${model.name} has no file "${wanted}"; it has: ${known.join(', ')}`,
            { known },
          )
        }
        await sendFile(req, res, { ...file, path: path.join(deps.store.folder(model.id), file.path) })
      },
    }),
  ]
}

async function filesOf(
  deps: RangeDeps,
  params: z.infer<typeof RangePath>,
  query: z.infer<typeof RangeQuery>,
  asker: Asker,
) {
  const model = await findModel(deps.state, params.model)
  const match = /^(\d{1,9})-(\d{1,9})$/.exec(params.range)
  if (!match)
    throw new ScissionError(
      'invalidRange',
      `layer range "${params.range}" is not of the form from-to, e.g. 0-12`,
    )
  return deps.ranges.get(model, Number(match[1]), Number(match[2]), query.shapesKey, asker)
}
