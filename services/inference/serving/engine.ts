/** The parts that use ONNX Runtime: they load, run and measure layer ranges. Tests may replace them. */
import path from 'node:path'
import type { Credentials } from '../../../shared/platform/credentials.ts'
import type { InferenceConfig } from '../../../shared/platform/service/service-config.ts'
import type { BenchmarkProgress } from '../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { Executor, type ExecutorOptions } from './executor/executor.ts'
import { StageLoader } from './executor/stage-loader.ts'
import { type Measurement, profileModel, type ProfileRequest } from '../jobs/profiler/profile-model.ts'
import { RangeStore } from '../ranges/range-store.ts'

export interface Engine {
  executor: Pick<Executor, 'run' | 'stats' | 'heldUpMs' | 'leave' | 'close' | 'hung'>
  loader: Pick<StageLoader, 'acquire' | 'release'>
  store: Pick<RangeStore, 'open'>
  /** Layer ranges that were refused so far because bytes of them were missing. */
  incompleteRanges: () => number
  profile: (
    request: ProfileRequest,
    onProgress: (progress: BenchmarkProgress) => void,
    signal: AbortSignal,
  ) => Promise<Measurement>
}

export const runtimeOptions = ({ threads, optimisation }: InferenceConfig): RuntimeOptions => ({
  threads,
  optimisation,
})

/** @param changes of the executor. @param credentials shown to the benchmark service. */
export function createEngine(
  config: InferenceConfig,
  log: Logger,
  { credentials, ...changes }: Partial<ExecutorOptions> & { credentials?: Credentials } = {},
): Engine {
  const { executors, queueLimit, slowdown, benchmarkUrl, trialTimeoutMs, trialMemoryBytes } = config
  const { runTimeoutMs, maxBodyBytes: maxOutputBytes } = config
  const folder = path.join(config.dataDir, config.resource)
  const options = runtimeOptions(config)
  const executor = new Executor({
    executors,
    queueLimit,
    slowdown,
    memoryBytes: trialMemoryBytes,
    runTimeoutMs,
    maxOutputBytes,
    ...changes,
  })
  const store = new RangeStore({
    benchmarkUrl,
    folder,
    limitBytes: config.cacheBytes,
    log,
    ...(credentials && { credentials }),
  })
  const loader = new StageLoader({ store, executor, options, trialTimeoutMs, trialMemoryBytes, log })
  return { executor, loader, store, incompleteRanges: () => store.incomplete, profile: profileModel }
}
