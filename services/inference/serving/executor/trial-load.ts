/**
 * Tries a sub-model before it reaches an executor thread: loads and runs it once in a child process, because a hostile or
 * damaged file can crash its process, which must not be the service's.
 *
 * A verdict is valid for one file, one version of ONNX Runtime and one set of options. It is stored beside the sub-model, so
 * that a restarted service does not repeat the trial. A failure that may be temporary (out of time or memory) is not
 * stored.
 */
import { createRequire } from 'node:module'
import { z } from 'zod'
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import { writeWhole } from '../../../../shared/platform/atomic-file.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import { readStoredJson } from '../../../../shared/platform/outside-input.ts'
import { lacksMemory } from './run-error.ts'
import type { TrialInput, TrialOutput } from './trial-job.ts'

export interface TrialRequest {
  path: string
  manifest: RangeManifest
  options: RuntimeOptions
  timeoutMs: number
  memoryBytes: number
  log?: Logger | undefined
}

/** Grows when a trial finds out more than before: verdicts of earlier ones are not valid then. */
const VERSION = 2

const Verdict = z.object({
  version: z.number().default(1),
  sha256: z.string(),
  onnxruntime: z.string(),
  options: RuntimeOptions,
  /** The reason why the file is refused; undefined if it may be loaded. */
  refusal: z.string().optional(),
  /** ONNX Runtime's complaint about the made-up inputs, which is no reason to refuse the file. */
  complaint: z.string().optional(),
  /** Which node can run away, and why. */
  runaway: z.string().optional(),
  /** Nodes of its graph, if it may be loaded. */
  nodes: z.number().default(0),
})
type Verdict = z.infer<typeof Verdict>

/** From the package file: loading the runtime itself would cost this thread time and memory. */
export const { version: ONNXRUNTIME_VERSION } = z
  .object({ version: z.string() })
  .parse(createRequire(import.meta.url)('onnxruntime-node/package.json'))

/** What a trial tells of a sub-model that may be loaded. */
export type Tried = Pick<Verdict, 'runaway' | 'nodes'>

/**
 * Resolves if the sub-model may be loaded.
 * @throws ScissionError invalidModel with the reason if it may not; cancelled.
 */
export async function trial(request: TrialRequest, signal?: AbortSignal): Promise<Tried> {
  const file = `${request.path}.trial.json`
  const identity = identityOf(request)
  const stored = await readStoredJson(Verdict, file, request.log)
  const known = stored && JSON.stringify(identityIn(stored)) === JSON.stringify(identity) ? stored : undefined
  const verdict = known ?? (await tryOnce(request, identity, signal))
  if (known === undefined) await writeWhole(file, JSON.stringify(verdict))
  if (verdict.refusal !== undefined) {
    throw new ScissionError('invalidModel', verdict.refusal, {
      path: request.path,
      remembered: known !== undefined,
    })
  }
  return verdict
}

type Identity = Pick<Verdict, 'version' | 'sha256' | 'onnxruntime' | 'options'>

function identityOf({ manifest, options }: TrialRequest): Identity {
  const { threads, optimisation } = options
  return {
    version: VERSION,
    sha256: manifest.onnx?.sha256 ?? '',
    onnxruntime: ONNXRUNTIME_VERSION,
    options: { threads, optimisation },
  }
}

/**
 * Loads and runs a sub-model once in a child process.
 * @throws ScissionError invalidModel if it cannot be loaded, crashed or broke a limit (`details.reason`).
 */
export function runTrial(
  { path, manifest, options, timeoutMs, memoryBytes }: TrialRequest,
  signal?: AbortSignal,
): Promise<TrialOutput> {
  return runInLimitedChild<TrialInput, TrialOutput>({
    module: new URL('./trial-job.ts', import.meta.url),
    input: { path, inputs: manifest.inputs, options },
    timeoutMs,
    memoryLimitBytes: memoryBytes,
    signal,
    doing: `trying layers ${manifest.from} to ${manifest.to}`,
  })
}

/**
 * Made-up values may be invalid, which says nothing; but they do not ask for memory that shapes do not.
 * @throws ScissionError invalidModel, with the reason `memory`, if the run got less of it than it asked for.
 */
export function refuseWithoutMemory({ complaint }: TrialOutput): void {
  if (complaint === undefined || !lacksMemory(complaint)) return
  throw new ScissionError('invalidModel', complaint, { reason: 'memory' })
}

async function tryOnce(
  request: TrialRequest,
  identity: Identity,
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  try {
    return { ...identity, ...(await runTrial(request, signal)) }
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code !== 'invalidModel') throw error
    const reason = error.details?.['reason']
    if (reason === 'timeout' || reason === 'memory') throw error
    return { ...identity, nodes: 0, refusal: error.message }
  }
}

/** The file and the conditions for which a verdict is valid. */
const identityIn = ({ version, sha256, onnxruntime, options }: Verdict): Identity => ({
  version,
  sha256,
  onnxruntime,
  options,
})
