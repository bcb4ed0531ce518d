/**
 * Conversations in the form of conversations.ts that depend on those before them: models are loaded and unloaded, requests
 * are counted. Every story has its own server with only the models it needs, none of them loaded.
 */
import { z } from 'zod'
import { type Answer, type Conversation, QUIET, refused, type Story, X4, Y4 } from './conversation.ts'
import { indexEntry, matching, statistics, TEXT } from './schemas.ts'

const ANY_TEXT = matching(z.string())
const EMPTY: Answer = { status: 200, body: '' }

const turn = (line: string, answer: Answer, body?: string): Conversation => ({
  name: body === undefined ? line : `${line} ${body}`,
  request: { line, ...(body !== undefined && { body }) },
  answer,
})
const text = (body: string): Answer => ({ status: 200, body })
const json = (value: unknown): Answer => ({ status: 200, body: { json: value } })
const notReady = (name: string): Answer => ({
  status: 503,
  body: { json: { name, ready: false, error: TEXT } },
})
const SERVER_NOT_READY: Answer = { status: 503, body: { json: { ready: false, error: TEXT } } }

const INDEX = 'POST /v2/repository/index'
const LOAD = 'POST /v2/repository/models/branched/load'
const UNLOAD = 'POST /v2/repository/models/branched/unload'
const INFER = 'POST /v2/models/branched/infer'
const ONLY_READY = '{"ready":true}'
const X2 = `{${QUIET},"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2]}]}`
const Y2 =
  '{"model_name":"branched","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[6,20]}]}'
const A2 =
  '{"model_name":"branched:0-1","model_version":"1","outputs":[{"name":"a","datatype":"FP32","shape":[2],"data":[2,4]}]}'
const loaded = (name: string) => indexEntry(name, 'READY', ANY_TEXT)
const absent = (name: string, reason: unknown) => indexEntry(name, 'UNAVAILABLE', reason)

/** branched: a model of three layers. */
export const LOADING: Story = {
  name: 'a model is loaded, used, and unloaded with and without its layer ranges',
  turns: [
    turn(INDEX, json([absent('branched', ANY_TEXT)])),
    turn(INDEX, json([absent('branched', ANY_TEXT)]), '{}'),
    turn(INDEX, json([absent('branched', ANY_TEXT)]), '{"ready":false}'),
    turn(INDEX, text('[]'), ONLY_READY),
    turn('GET /v2/models/branched/ready', notReady('branched')),
    turn('GET /v2/models/branched/versions/1/ready', notReady('branched')),

    turn(LOAD, EMPTY),
    turn(INDEX, json([loaded('branched')]), ONLY_READY),
    turn('GET /v2/models/branched/ready', text('{"name":"branched","ready":true}')),
    turn('GET /v2/models/branched/versions/1/ready', text('{"name":"branched","ready":true}')),
    turn('GET /v2/models/branched/versions/9/ready', refused(404)),
    turn(INFER, text(Y2), X2),
    turn(LOAD, EMPTY, '{}'),
    turn(LOAD, EMPTY, '{"parameters":{}}'),
    turn(LOAD, refused(400), '{"parameters":'),
    turn('GET /v2/models/branched/ready', text('{"name":"branched","ready":true}')),

    turn('POST /v2/models/branched:0-1/infer', text(A2), X2),
    turn(UNLOAD, EMPTY),
    turn(INDEX, json([loaded('branched:0-1')]), ONLY_READY),
    turn('GET /v2/models/branched/ready', notReady('branched')),
    turn('GET /v2/models/branched/versions/1/ready', notReady('branched')),
    turn(INFER, refused(503), X2),

    turn(LOAD, EMPTY),
    turn(INFER, text(Y2), X2),
    turn(UNLOAD, EMPTY, '{"parameters":{"unload_dependents":true}}'),
    turn(INDEX, json([absent('branched', 'unloaded')]), '{}'),
    turn(UNLOAD, EMPTY, '{}'),

    turn('POST /v2/repository/models/nobody/unload', refused(404)),
    turn('GET /v2/repository/models/branched/load', refused(405)),
    turn('GET /v2/repository/index', refused(405)),
  ],
}

/** broken: a model that cannot be loaded. The protocol asks for an error status here; 422 is that of docs/reference/errors.md. */
export const FAILED_LOAD: Story = {
  name: 'a model that cannot be loaded says why',
  turns: [
    turn('POST /v2/repository/models/broken/load', refused(422)),
    turn(INDEX, json([absent('broken', TEXT)])),
    turn(INDEX, text('[]'), ONLY_READY),
    turn('GET /v2/models/broken/ready', notReady('broken')),
  ],
}

const RIGHT = `{${QUIET},"inputs":[{${X4},"data":[1,-2.5,0,3.25]}]}`
const WRONG = `{${QUIET},"inputs":[{${X4},"data":[1]}]}`
const stats = (...entries: unknown[]) => json({ model_stats: entries })

/** m: see conversations.ts. */
export const COUNTING: Story = {
  name: 'requests are counted, those refused apart',
  turns: [
    turn('GET /v2/models/m/stats', stats(statistics('m', '1', 0))),
    turn('POST /v2/models/m/infer', text(Y4), RIGHT),
    turn('POST /v2/models/m/infer', refused(400), WRONG),
    turn('GET /v2/models/m/stats', stats(statistics('m', '1', 1, 1))),
    turn('GET /v2/models/m/versions/1/stats', stats(statistics('m', '1', 1, 1))),
    turn('GET /v2/models/stats', stats(statistics('m', '1', 1, 1))),
    turn('POST /v2/models/m/versions/1/infer', text(Y4), RIGHT),
    turn('POST /v2/models/m/infer', text(Y4), RIGHT),
    turn('GET /v2/models/m/versions/1/stats', stats(statistics('m', '1', 3, 1))),
    turn('GET /v2/models/stats', stats(statistics('m', '1', 3, 1))),
    turn('GET /v2/models/m/versions/9/stats', refused(404)),
    turn('POST /v2/models/m/stats', refused(405)),
    turn('POST /v2/models/stats', refused(405)),
  ],
}

/** m, as above. */
export const NEVER_ASKED: Story = {
  name: 'the statistics of all models are those of a loaded model that nobody asked, too',
  turns: [
    turn('POST /v2/repository/models/m/load', EMPTY),
    turn('GET /v2/models/stats', stats(statistics('m', '1', 0))),
  ],
}

const named = z.looseObject({ name: z.literal('m'), version: z.string() })
/** Statistics without a version cover every version; the protocol does not define their order. */
const BOTH_VERSIONS = matching(
  z.strictObject({
    model_stats: z
      .array(named)
      .refine((entries) => ['1,2', '2,1'].includes(entries.map(({ version }) => version).join())),
  }),
)

/** m in version 1 and 2. */
export const TWO_VERSIONS: Story = {
  name: 'a model of two versions is its highest one, unless its statistics are asked for',
  turns: [
    turn('POST /v2/models/m/infer', text(Y4.replace('"1"', '"2"')), RIGHT),
    turn('POST /v2/models/m/versions/1/infer', text(Y4), RIGHT),
    turn('POST /v2/models/m/versions/1/infer', text(Y4), RIGHT),
    turn('GET /v2/models/m/versions/1/stats', stats(statistics('m', '1', 2))),
    turn('GET /v2/models/m/versions/2/stats', stats(statistics('m', '2', 1))),
    turn('GET /v2/models/m/stats', json(BOTH_VERSIONS)),
  ],
}

/** No model is known, because there is no Redis. */
export const STARTING: Story = {
  name: 'a server that has not found its Redis is live, but not ready',
  turns: [
    turn('GET /v2/health/live', text('{"live":true}')),
    turn('GET /v2/health/ready', SERVER_NOT_READY),
    turn('GET /v2/models/m', refused(503)),
    turn('GET /v2/models/m/ready', refused(503)),
    turn('GET /v2/models/m/versions/1/ready', refused(503)),
    turn('POST /v2/models/m/infer', refused(503), RIGHT),
    turn(INDEX, refused(503)),
    turn('POST /v2/repository/models/m/load', refused(503)),
  ],
}

export const STOPPING: Story = {
  name: 'a server that is stopping is live, but not ready',
  turns: [turn('GET /v2/health/live', text('{"live":true}')), turn('GET /v2/health/ready', SERVER_NOT_READY)],
}
