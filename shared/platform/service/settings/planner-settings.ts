/** Settings of the planner. */
import { COMMON_SETTINGS } from './common-settings.ts'
import { duration, integer, MIB, otherUrl, port, setting } from './setting.ts'

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
