/** HTTP routes of benchmarks. */
import { z } from 'zod'
import { PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { Benchmark, BenchmarkRequest } from '../../../shared/contracts/profile.ts'
import { rememberedShapesNote } from '../../../shared/contracts/input-shapes.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import type { Holdings } from '../../../shared/platform/access/holdings.ts'
import { askerOf } from '../../../shared/platform/http-server/client-of.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import {
  ABOUT_EVENTS,
  EVENT_HEADERS,
  NO_MORE_EVENTS,
  openEventStream,
} from '../../../shared/platform/http-server/server-sent-events.ts'
import { findModel, paginate } from '../../../shared/platform/redis/state.ts'
import type { Analyses } from '../models/analyses.ts'
import { type BenchmarkEvents, eventOf } from './benchmark-events.ts'
import { type BenchmarkDeps, promptly } from './benchmark-queues.ts'
import { cancelBenchmark, needBenchmark } from './end-benchmark.ts'
import { type Admit, type Applicant, startBenchmark } from './start-benchmark.ts'
import { isUnderWay, parentJobs, viewOf } from './benchmark-view.ts'

const ById = z.object({ id: z.string().min(1).describe('as the start answered it') })
const BenchmarkPage = pageOf(Benchmark).meta({ id: 'BenchmarkPage' })
const locationOf = (benchmark: Benchmark) => ({ Location: `/v1/benchmarks/${benchmark.id}` })

const START_FAILURES = [
  'notFound',
  'conflict',
  'notReady',
  'invalidModel',
  'needsInputShapes',
  'tooManyRequests',
  'overloaded',
  'deadlineExceeded',
] as const

interface StartDeps {
  analyses: Pick<Analyses, 'structure'>
  holdings: Holdings
}

function startRoute(deps: BenchmarkDeps, { analyses, holdings }: StartDeps): Route {
  return route({
    method: 'post',
    path: '/v1/benchmarks',
    id: 'startBenchmark',
    access: 'operate',
    summary: 'Measure a model on resources; poll the Location or follow its events',
    description: 'The same request while one is under way is answered with that one.',
    body: BenchmarkRequest,
    answers: {
      202: { description: 'Queued', schema: Benchmark, headers: { Location: 'Path of the benchmark' } },
    },
    fails: START_FAILURES,
    handle: async ({ body }, req, res) => {
      const admit: Admit = (work) => holdings.reserving(identityOf(req), { jobs: 1 }, work)
      const benchmark = await begin(deps, analyses, body, { asker: askerOf(req, res), admit })
      return reply(202, benchmark, locationOf(benchmark))
    },
  })
}

export function benchmarkRoutes(deps: BenchmarkDeps, start: StartDeps, events: BenchmarkEvents): Route[] {
  return [
    startRoute(deps, start),
    route({
      method: 'get',
      path: '/v1/benchmarks',
      id: 'listBenchmarks',
      access: 'read',
      summary: 'Benchmarks under way and those of the last week, newest first',
      query: PageQuery,
      answers: { 200: { description: 'A page of benchmarks', schema: BenchmarkPage } },
      handle: ({ query }) => promptly(deps.queues.redis, () => listBenchmarks(deps, query)),
    }),
    route({
      method: 'get',
      path: '/v1/benchmarks/:id',
      id: 'readBenchmark',
      access: 'read',
      summary: 'State and progress, as a whole and per resource',
      params: ById,
      answers: { 200: { description: 'The benchmark', schema: Benchmark } },
      handle: ({ params }) => needBenchmark(deps.queues, params.id),
    }),
    route({
      method: 'get',
      path: '/v1/benchmarks/:id/events',
      id: 'followBenchmark',
      access: 'read',
      fails: ['tooManyRequests'],
      summary: 'Its progress as server-sent events, until it has ended',
      description: ABOUT_EVENTS,
      params: ById,
      headers: EVENT_HEADERS,
      answers: {
        200: {
          description: 'progress until it has ended; failed also when it was cancelled',
          events: { progress: Benchmark, completed: Benchmark, failed: Benchmark },
        },
        204: NO_MORE_EVENTS,
      },
      handle: async ({ params }, req, res) => {
        const benchmark = await needBenchmark(deps.queues, params.id)
        events.follow(benchmark, openEventStream(req, res, eventOf(benchmark), events.clientStreams))
      },
    }),
    route({
      method: 'delete',
      path: '/v1/benchmarks/:id',
      id: 'cancelBenchmark',
      access: 'operate',
      summary:
        'Cancel: waiting parts are dropped, active ones told to stop; an ended benchmark stays as it is',
      params: ById,
      answers: {
        200: { description: 'It has ended', schema: Benchmark },
        202: { description: 'Parts of it are still stopping', schema: Benchmark },
      },
      handle: async ({ params }) => {
        const benchmark = await cancelBenchmark(deps.queues, params.id)
        return reply(isUnderWay(benchmark.state) ? 202 : 200, benchmark)
      },
    }),
  ]
}

async function listBenchmarks(deps: BenchmarkDeps, query: z.infer<typeof PageQuery>) {
  // No states: jobs in any state.
  const jobs = await parentJobs(deps.queues, [])
  // Pages follow ascending keys: ms until the year 5138 as the key puts the newest benchmark first.
  const keyed = jobs
    // The job's own timestamp is by the clock of the replica that added it.
    .map((job) => ({ job, ms: Date.parse(job.data.createdAt) }))
    .map(({ job, ms }) => ({ job, key: `${String(1e14 - ms).padStart(15, '0')}.${job.id}` }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const page = paginate(keyed, (entry) => entry.key, query)
  return { ...page, items: await Promise.all(page.items.map((entry) => viewOf(deps.queues, entry.job))) }
}

async function begin(
  deps: BenchmarkDeps,
  analyses: Pick<Analyses, 'structure'>,
  request: BenchmarkRequest,
  applicant: Applicant,
): Promise<Benchmark> {
  const model = await findModel(deps.state, request.model)
  const structure = await analyses.structure(model, applicant.asker, request.inputShapes)
  const note = request.inputShapes ? undefined : rememberedShapesNote(model.inputs, structure.inputShapes)
  const standingNotes = [...deps.standingNotes, ...(note === undefined ? [] : [note])]
  return startBenchmark({ ...deps, standingNotes }, structure, request, applicant)
}
