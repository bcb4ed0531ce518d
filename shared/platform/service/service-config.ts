/**
 * The settings of all services: read once from the environment at the start, validated, then passed down as a value.
 * The tables hold the variable, its default and the reason for it; `scission config` prints them.
 */
import os from 'node:os'
import { memoryBytes } from '../usable-memory.ts'
import { z } from 'zod'
import { ResourceName, TierName } from '../../contracts/common.ts'
import { LinkEmulation, OPTIMISATION_LEVELS } from '../../contracts/resource.ts'
import { ScissionError } from '../errors.ts'
import { plainWords } from '../plain-words.ts'
import { hidePasswordOf, hidePasswords } from '../hidden-passwords.ts'

interface Setting<T extends z.ZodType> {
  env: string
  schema: T
  /** Default, as written in the environment; absent = the variable is required. */
  fallback?: string | undefined
  why: string
}

const setting = <T extends z.ZodType>(env: string, schema: T, fallback: string | undefined, why: string) =>
  ({ env, schema, fallback, why }) satisfies Setting<T>

const integer = (min: number, max = Number.MAX_SAFE_INTEGER) => z.coerce.number().int().min(min).max(max)
/** Milliseconds. Node's timers take no more, 24.8 days: beyond that they fire at once, again and again. */
const duration = (min: number) => integer(min, 2 ** 31 - 1)
const port = integer(0, 65_535)
/** Headers about one message or connection: each hop writes its own, so they cannot travel. */
const OWN_HEADERS =
  /^(host|connection|keep-alive|te|trailer|upgrade|expect|transfer-encoding|accept-encoding|inference-header-content-length|(proxy|content)-.*)$/
const TravellingHeader = z
  .string()
  .toLowerCase()
  .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'is no name of a header')
  .refine((name) => !OWN_HEADERS.test(name), 'belongs to each message by itself and cannot travel')
const list = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (text) => (typeof text === 'string' ? text.split(',').map((part) => part.trim()) : text),
    z.array(item).min(1),
  )
function json<T extends z.ZodType>(schema: T) {
  return z.preprocess((text, context) => {
    if (typeof text !== 'string') return text
    try {
      return JSON.parse(text) as unknown
    } catch {
      context.issues.push({ code: 'custom', message: 'is not JSON', input: text })
      return z.NEVER
    }
  }, schema)
}

/** URLs under which this resource reaches peers, if not their own: a proxy, a tunnel or the link emulator. */
export const Routes = z.record(ResourceName, z.object({ url: z.url(), emulation: LinkEmulation.optional() }))
export type Routes = z.infer<typeof Routes>

const MIB = 1024 * 1024

/** Of another service; the empty text if it is not known. */
const otherUrl = z.union([z.literal(''), z.url()])
const plannerUrl = setting(
  'SCISSION_PLANNER_URL',
  otherUrl,
  '',
  'for links to it on `/` and `/docs`; empty = no link',
)

export const COMMON_SETTINGS = {
  host: setting(
    'SCISSION_HOST',
    z.string(),
    '127.0.0.1',
    'nothing is exposed beyond this machine unless asked; containers set 0.0.0.0',
  ),
  redisUrl: setting('REDIS_URL', z.url(), 'redis://127.0.0.1:6379', "Redis' own default port"),
  redisKind: setting(
    'SCISSION_REDIS_KIND',
    z.enum(['external', 'private', 'emulated']),
    'external',
    'set by the program that started Redis; shown in /healthz and every report',
  ),
  dataDir: setting(
    'SCISSION_DATA',
    z.string(),
    '.scission',
    'models and caches, in the working directory, ignored by git',
  ),
  logLevel: setting(
    'SCISSION_LOG_LEVEL',
    z.enum(['silent', 'error', 'warn', 'info', 'debug', 'trace']),
    'info',
    'one line per event that a user would want to know of',
  ),
  heartbeatMs: setting(
    'SCISSION_HEARTBEAT_MS',
    duration(100),
    '2000',
    'a lost resource is noticed after three missed heartbeats: 6 s',
  ),
  tiers: setting(
    'SCISSION_TIERS',
    list(TierName),
    'device,edge,cloud',
    'ordered: a request moves forward only',
  ),
  maxConnections: setting(
    'SCISSION_MAX_CONNECTIONS',
    integer(1),
    '4096',
    'open connections of all clients together; the first request of one more is answered 503 with Retry-After',
  ),
  maxClientConnections: setting(
    'SCISSION_MAX_CLIENT_CONNECTIONS',
    integer(1),
    '1024',
    'of one client, told by its address; the first request of one more is answered 429 with Retry-After',
  ),
  maxClientStreams: setting(
    'SCISSION_MAX_CLIENT_STREAMS',
    integer(1),
    '256',
    'open streams of events of one client; one more is answered 429 with Retry-After',
  ),
  transferWindowMs: setting(
    'SCISSION_TRANSFER_WINDOW_MS',
    duration(100),
    '30000',
    'in every span of this length a body, and an answer that waits for its client, has to move on, at least as fast as …',
  ),
  minBytesPerSecond: setting(
    'SCISSION_MIN_BYTES_PER_SECOND',
    integer(1),
    '512',
    '… this: slower than any link. A body is answered 408, the connection of an answer is closed',
  ),
  bodyDeadlineMs: setting(
    'SCISSION_BODY_DEADLINE_MS',
    duration(100),
    String(4 * 3_600_000),
    'in which a body has to be here as a whole: an upload of 8 GiB at 5 Mbit/s; then 408',
  ),
  answerMemoryBytes: setting(
    'SCISSION_ANSWER_MEMORY_BYTES',
    integer(1),
    String(Math.floor(memoryBytes() / 4)),
    'answers that wait in memory for their clients to read them; above it those that read nothing for longest are cut off, ' +
      'and inference requests answered 503 with Retry-After',
  ),
} as const

export const BENCHMARK_SETTINGS = {
  ...COMMON_SETTINGS,
  plannerUrl,
  port: setting('SCISSION_PORT', port, '8081', 'first of the product’s ports'),
  maxModelBytes: setting(
    'SCISSION_MAX_MODEL_BYTES',
    integer(1),
    String(8 * 1024 * MIB),
    'larger than any model that one machine runs',
  ),
  maxModelFiles: setting(
    'SCISSION_MAX_MODEL_FILES',
    integer(1),
    '10000',
    'parts of one upload: exporters of large models write one external file per tensor',
  ),
  maxStructureBytes: setting(
    'SCISSION_MAX_STRUCTURE_BYTES',
    integer(1),
    String(256 * MIB),
    'names, attributes and small constants of a model: a tree ensemble keeps all of its numbers in attributes; the memory ' +
      'of an analysis follows',
  ),
  maxStructureParts: setting(
    'SCISSION_MAX_STRUCTURE_PARTS',
    integer(1),
    '1000000',
    'nodes, attributes, tensors and types of a model: the largest real ones have some 100,000',
  ),
  maxSampleBytes: setting(
    'SCISSION_MAX_SAMPLE_BYTES',
    integer(1),
    String(256 * MIB),
    'values for the inputs of one model, unpacked; they are in memory while they are read',
  ),
  rangeFileBytes: setting(
    'SCISSION_RANGE_FILE_BYTES',
    integer(1),
    String(1024 * MIB),
    'layer ranges that were asked for, as files without weights, of all models; above it those not asked for longest leave the disk',
  ),
  analyseTimeoutMs: setting(
    'SCISSION_ANALYSE_TIMEOUT_MS',
    duration(100),
    '120000',
    'VGG16 takes 2 s; a model that hangs ONNX Runtime is killed after this',
  ),
  analyseMemoryBytes: setting(
    'SCISSION_ANALYSE_MEMORY_BYTES',
    integer(MIB),
    String(Math.floor(memoryBytes() / 2)),
    'half of the memory of this machine',
  ),
  benchmarkTimeoutMs: setting(
    'SCISSION_BENCHMARK_TIMEOUT_MS',
    duration(1000),
    '600000',
    'a resource that has shown no sign of life for so long fails alone, or its calibration does',
  ),
} as const

export const PLANNER_SETTINGS = {
  ...COMMON_SETTINGS,
  benchmarkUrl: setting(
    'SCISSION_BENCHMARK_URL',
    otherUrl,
    '',
    'where deployments are verified with a model’s samples, and for links on `/` and `/docs`; empty = made-up inputs, no link',
  ),
  port: setting('SCISSION_PORT', port, '8082', 'after the benchmark service'),
  deployTimeoutMs: setting(
    'SCISSION_DEPLOY_TIMEOUT_MS',
    duration(100),
    '120000',
    'each resource fetches its layers and loads them within this; so long each run of a verification may take',
  ),
  verifyBytes: setting(
    'SCISSION_VERIFY_BYTES',
    integer(1),
    String(256 * MIB),
    'longest input that a verification makes, longest answer that it compares; the planner holds up to three of them',
  ),
} as const

export const INFERENCE_SETTINGS = {
  ...COMMON_SETTINGS,
  port: setting('SCISSION_PORT', port, '8090', 'the device; edge and cloud follow in the testbed'),
  resource: setting(
    'SCISSION_RESOURCE',
    ResourceName,
    os
      .hostname()
      .toLowerCase()
      .replaceAll(/[^a-z0-9-]+/g, '-')
      .replace(/^-+/, '')
      .slice(0, 63) || 'resource',
    'the host’s own name',
  ),
  tier: setting('SCISSION_TIER', TierName, 'device', 'first of SCISSION_TIERS'),
  publicUrl: setting(
    'SCISSION_PUBLIC_URL',
    z.union([z.literal(''), z.url()]),
    '',
    'what peers and clients call; empty = http://<host>:<port>',
  ),
  benchmarkUrl: setting(
    'SCISSION_BENCHMARK_URL',
    z.url(),
    'http://127.0.0.1:8081',
    'where layers and weights are fetched from',
  ),
  plannerUrl,
  routes: setting(
    'SCISSION_ROUTES',
    json(Routes),
    '{}',
    'peer name → {url, emulation?}: how to reach peers that are not called at their own URL',
  ),
  slowdown: setting(
    'SCISSION_SLOWDOWN',
    z.coerce.number().min(1).max(1000),
    '1',
    'above 1 the executor waits (factor − 1) × the CPU time of each run, and every number is labelled emulated',
  ),
  threads: setting(
    'SCISSION_THREADS',
    integer(1, 256),
    '1',
    'intra-op threads of a session; several services on one machine must not spin against each other',
  ),
  optimisation: setting(
    'SCISSION_OPTIMISATION',
    z.enum(OPTIMISATION_LEVELS),
    'all',
    'ONNX Runtime’s own default',
  ),
  executors: setting(
    'SCISSION_EXECUTORS',
    integer(1, 64),
    '1',
    'threads that hold sessions: one runs while others wait',
  ),
  queueLimit: setting(
    'SCISSION_QUEUE_LIMIT',
    integer(1),
    '64',
    'requests waiting per executor before 503 with Retry-After',
  ),
  maxBatch: setting(
    'SCISSION_MAX_BATCH',
    integer(1, 1024),
    '1',
    'requests of a model whose file leaves the batch open that are computed at once; 1 = each alone. Each size up to it ' +
      '(2, 4, 8, …) is a session with weights of its own, used once it has answered as single runs do',
  ),
  batchDelayMs: setting(
    'SCISSION_BATCH_DELAY_MS',
    z.coerce.number().min(0).max(10_000),
    '0',
    'how long a request that could run waits for others; at 0 only requests that wait anyway share a run',
  ),
  stageBytes: setting(
    'SCISSION_STAGE_BYTES',
    integer(0),
    String(Math.floor(memoryBytes() / 4)),
    'layers that stay loaded on demand, beside deployments, summed over all sessions: their weights, the tensors of a run, and ' +
      '256 KiB each; ONNX Runtime needs up to twice the weights',
  ),
  maxBodyBytes: setting(
    'SCISSION_MAX_BODY_BYTES',
    integer(1),
    String(64 * MIB),
    'of a request, as Triton’s default; a deployment takes and passes on whatever its plan sends',
  ),
  bodyMemoryBytes: setting(
    'SCISSION_BODY_MEMORY_BYTES',
    integer(1),
    String(Math.floor(memoryBytes() / 4)),
    'memory for all requests being received; one that does not fit gets 503 with Retry-After. No plan sends a longer message here',
  ),
  travellingHeaders: setting(
    'SCISSION_TRAVELLING_HEADERS',
    list(TravellingHeader),
    'traceparent,tracestate,x-request-id',
    'headers of a request that go along to every hop, comma-separated',
  ),
  cacheBytes: setting(
    'SCISSION_CACHE_BYTES',
    integer(MIB),
    String(16 * 1024 * MIB),
    'layer ranges not in use leave the disk, least recently used first, above this',
  ),
  trialTimeoutMs: setting(
    'SCISSION_TRIAL_TIMEOUT_MS',
    duration(100),
    '120000',
    'a layer range that has not loaded and run once by then is refused',
  ),
  trialMemoryBytes: setting(
    'SCISSION_TRIAL_MEMORY_BYTES',
    integer(MIB),
    String(Math.floor(memoryBytes() / 2)),
    'half of the memory of this machine; no plan has a stage here whose weights and tensors need more',
  ),
  hopTimeoutMs: setting(
    'SCISSION_HOP_TIMEOUT_MS',
    duration(1),
    '30000',
    'a next hop silent for this long is an error that names it; a plan that is predicted to be is not deployed',
  ),
  linkIntervalMs: setting(
    'SCISSION_LINK_INTERVAL_MS',
    duration(1000),
    '60000',
    'links are measured at start, on request, and this often',
  ),
} as const

/** A value for messages: a URL, right or wrong, may hold a password. */
const shown = (env: string, text: string | undefined) =>
  text === undefined ? text : env.endsWith('_URL') ? hidePasswordOf(text) : hidePasswords(text)

/** zod says of forms that exclude each other only that none fits: the last one is what the setting is for. */
function faultText(issue: z.core.$ZodIssue): string {
  const last = issue.code === 'invalid_union' ? issue.errors.at(-1)?.[0] : undefined
  return plainWords((last ?? issue).message)
}

type Settings = Record<string, Setting<z.ZodType>>
export type ConfigOf<S extends Settings> = { readonly [K in keyof S]: z.infer<S[K]['schema']> }
export type BenchmarkConfig = ConfigOf<typeof BENCHMARK_SETTINGS>
export type PlannerConfig = ConfigOf<typeof PLANNER_SETTINGS>
export type InferenceConfig = ConfigOf<typeof INFERENCE_SETTINGS>

/**
 * Reads and validates the settings in `table`.
 * @throws ScissionError badRequest naming every variable that is wrong, its value and what is allowed.
 */
export function readConfig<S extends Settings>(table: S, env: NodeJS.ProcessEnv = process.env): ConfigOf<S> {
  const values: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [key, entry] of Object.entries(table)) {
    const text = env[entry.env] ?? entry.fallback
    const parsed = entry.schema.safeParse(text)
    if (parsed.success) values[key] = parsed.data
    else
      faults.push(
        `${entry.env}=${JSON.stringify(shown(entry.env, text))}: ${parsed.error.issues.map(faultText).join('; ')}`,
      )
  }
  if (faults.length > 0)
    throw new ScissionError('badRequest', `environment: ${faults.join(' · ')}`, { faults })
  return values as ConfigOf<S>
}
