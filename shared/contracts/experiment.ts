/** An experiment: which requests `scission experiment` sends, how often, and in which order. */
import { z } from 'zod'
import { Name } from './common.ts'
import { PlanQuery } from './plan.ts'

const ExperimentQuery = z.strictObject({
  /** Names it in every table. */
  label: Name,
  /** A plan query without its model: its best plan is deployed. */
  query: PlanQuery.omit({ model: true, view: true }).prefault({}),
  /** `best`: the best plan of the query. `native:RESOURCE`: the whole model there. Else the id of a plan of the model. */
  deploy: z
    .string()
    .regex(
      /^(best|native:[a-z0-9][a-z0-9-]{0,62}|[0-9a-f]{64}\.[0-9a-f]{12}\..+)$/,
      'must be best, native:RESOURCE or the id of a plan',
    )
    .default('best'),
})
export type ExperimentQuery = z.infer<typeof ExperimentQuery>

/** Requests of one experiment: their tables are made in memory. */
const MAX_REQUESTS = 100_000

const ExperimentFields = z.strictObject({
  /** Names of models that are here, or paths of .onnx files, from the folder in which the command runs. */
  models: z
    .array(z.string().min(1))
    .min(1)
    .refine((all) => new Set(all).size === all.length, 'every model may be listed once'),
  /** The first is what the others are compared with. */
  queries: z
    .array(ExperimentQuery)
    .min(1)
    .max(100)
    .refine(
      (all) => new Set(all.map(({ label }) => label)).size === all.length,
      'every query must have a label of its own',
    ),
  repetitions: z.number().int().min(1).max(MAX_REQUESTS),
  /** Requests to every deployment before the first that counts. */
  warmUp: z.number().int().min(0).max(10_000).default(2),
  /** Before every request, in ms. */
  pauseMs: z.number().min(0).max(600_000).default(0),
  /** Of the inputs that are made up, of the order, and of the bootstrap. */
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31)
    .default(1),
  /**
   * `interleaved`: every repetition sends each request once, in an order of its own, so that a machine's drift meets all
   * alike. `inOrder`: all repetitions of one, then of the next.
   */
  order: z.enum(['interleaved', 'inOrder']).default('interleaved'),
  /** The folder that the results go to, from the folder in which the command runs. */
  output: z.string().min(1),
})
export const Experiment = ExperimentFields.refine(
  ({ models, queries, repetitions }) => models.length * queries.length * repetitions <= MAX_REQUESTS,
  {
    path: ['repetitions'],
    message: `models, queries and repetitions make more than ${MAX_REQUESTS} requests: split it into several files`,
  },
)
export type Experiment = z.infer<typeof Experiment>

/** One request. Times are ms; bounds are those of one request, from the prediction just before it. */
export const ExperimentRow = z.object({
  model: z.string(),
  query: z.string(),
  repetition: z.number().int().nonnegative(),
  /** From when the experiment began, also if it was resumed. */
  startedMs: z.number(),
  /** As the client saw it. */
  latencyMs: z.number(),
  predictedMs: z.number(),
  lowMs: z.number(),
  highMs: z.number(),
  inside: z.boolean(),
  plan: z.string(),
  /** The boundaries at which it is cut, from the first; empty for a whole model. */
  cuts: z.array(z.number().int()),
  /** The service's own. */
  totalMs: z.number().optional(),
  hops: z.array(
    z.object({
      resource: z.string(),
      /** The resource of the plan for which it computed: the row's prediction is not of this way. */
      insteadOf: z.string().optional(),
      layers: z.string().optional(),
      computeMs: z.number().optional(),
      cpuMs: z.number().optional(),
      queueMs: z.number().optional(),
      /** Waited to emulate a slower machine. */
      waitedMs: z.number().optional(),
      /** From sending the next hop its input until its answer, without what that hop and those behind it say they took. */
      transferMs: z.number().optional(),
      /** Cores that other processes kept busy on it. */
      otherCores: z.number().optional(),
    }),
  ),
})
export type ExperimentRow = z.infer<typeof ExperimentRow>
