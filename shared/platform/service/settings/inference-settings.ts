/** Settings of an inference service. */
import { memoryBytes } from '../../usable-memory.ts'
import { z } from 'zod'
import os from 'node:os'
import { ResourceName, ServiceUrl, TierName } from '../../../contracts/common.ts'
import { LinkEmulation, OPTIMISATION_LEVELS } from '../../../contracts/resource.ts'
import { OwnResourceName } from '../../../contracts/own-resource-name.ts'
import { COMMON_SETTINGS } from './common-settings.ts'
import { duration, integer, json, list, MIB, plannerUrl, port, setting } from './setting.ts'

/** Headers about one message or connection: each hop writes its own, so they cannot travel. */
const OWN_HEADERS =
  /^(host|connection|keep-alive|te|trailer|upgrade|expect|transfer-encoding|accept-encoding|authorization|cookie|origin|inference-header-content-length|(proxy|content|sec)-.*)$/
const TravellingHeader = z
  .string()
  .toLowerCase()
  .regex(/^[a-z0-9!#$%&'*+.^_`|~-]+$/, 'is no name of a header')
  .refine((name) => !OWN_HEADERS.test(name), 'belongs to each message by itself and cannot travel')
/** URLs under which this resource reaches peers, if not their own: a proxy, a tunnel or the link emulator. */
export const Routes = z.record(ResourceName, z.object({ url: z.url(), emulation: LinkEmulation.optional() }))
export type Routes = z.infer<typeof Routes>

export const INFERENCE_SETTINGS = {
  ...COMMON_SETTINGS,
  port: setting('SCISSION_PORT', port, '8090', 'the device; edge and cloud follow in the testbed'),
  resource: setting(
    'SCISSION_RESOURCE',
    OwnResourceName,
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
    z.union([z.literal(''), ServiceUrl]),
    '',
    'what peers and clients call; empty = http://<host>:<port>',
  ),
  internalUrl: setting(
    'SCISSION_INTERNAL_URL',
    z.union([z.literal(''), z.url()]),
    '',
    'what the other services call, if there is an internal door; empty = http://<internal host>:<internal port>',
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
    'requests waiting per executor before 503 with Retry-After; where they are full, the client that has most of them gives one (429) to another',
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
    'of a request, as Triton’s default, and of outputs whose size follows from the values of the inputs; a deployment takes ' +
      'and passes on whatever its plan sends',
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
    'half of the memory of this machine; no plan has a stage here whose weights and tensors need more, and the processes of ' +
      'stages whose memory follows from the values of their inputs have no more together',
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
  runTimeoutMs: setting(
    'SCISSION_RUN_TIMEOUT_MS',
    duration(1),
    '30000',
    'a run whose time follows from the values of its inputs is ended after this, if its request has no `timeout`: as long as ' +
      'hops wait for each other',
  ),
} as const
