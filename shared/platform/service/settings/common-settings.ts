/** Settings that every service has. */
import { DEFAULT_LIMITS } from '../../http-server/server-limits.ts'
import { z } from 'zod'
import { TierName } from '../../../contracts/common.ts'
import { ACCESS_SETTINGS } from './access-settings.ts'
import { QUOTA_SETTINGS } from './quota-settings.ts'
import { duration, Flag, integer, list, secret, setting } from './setting.ts'

export const COMMON_SETTINGS = {
  host: setting(
    'SCISSION_HOST',
    z.string(),
    '127.0.0.1',
    'nothing is exposed beyond this machine unless asked; containers set 0.0.0.0. Beyond it every caller needs a token',
  ),
  ...ACCESS_SETTINGS,
  ...QUOTA_SETTINGS,
  redisUrl: setting('REDIS_URL', z.url(), 'redis://127.0.0.1:6379', "Redis' own default port"),
  redisPassword: secret(
    'SCISSION_REDIS_PASSWORD',
    'of the user that REDIS_URL names, or of the default one: in a file or a variable of its own instead of the URL',
  ),
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
  accessLog: setting(
    'SCISSION_ACCESS_LOG',
    Flag,
    '0',
    '1 = one line in the log for every request: who, from where, what, status, ms',
  ),
  auditFile: setting(
    'SCISSION_AUDIT_FILE',
    z.string(),
    '',
    'file to which each change is appended, with who made it, on what, and how it ended; empty = in the log',
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
    String(DEFAULT_LIMITS.maxConnections),
    'open connections of all clients together; the first request of one more is answered 503 with Retry-After',
  ),
  maxClientConnections: setting(
    'SCISSION_MAX_CLIENT_CONNECTIONS',
    integer(1),
    String(DEFAULT_LIMITS.maxClientConnections),
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
    String(DEFAULT_LIMITS.transferWindowMs),
    'in every span of this length a body, and an answer that waits for its client, has to move on, at least as fast as …',
  ),
  minBytesPerSecond: setting(
    'SCISSION_MIN_BYTES_PER_SECOND',
    integer(1),
    String(DEFAULT_LIMITS.minBytesPerSecond),
    '… this: slower than any link. A body is answered 408, the connection of an answer is closed',
  ),
  bodyDeadlineMs: setting(
    'SCISSION_BODY_DEADLINE_MS',
    duration(100),
    String(DEFAULT_LIMITS.bodyDeadlineMs),
    'in which a body has to be here as a whole: an upload of 8 GiB at 5 Mbit/s; then 408',
  ),
  answerMemoryBytes: setting(
    'SCISSION_ANSWER_MEMORY_BYTES',
    integer(1),
    String(DEFAULT_LIMITS.answerMemoryBytes),
    'answers that wait in memory for their clients to read them; above it those that read nothing for longest are cut off, ' +
      'and inference requests answered 503 with Retry-After',
  ),
} as const
