/**
 * Tries a sub-model before it reaches an executor thread: loads and runs it once in a child process, because a hostile or
 * damaged file can crash its process, which must not be the service's.
 *
 * A verdict is valid for one file, one version of ONNX Runtime and one set of options. It is stored beside the sub-model, so
 * that a restarted service does not repeat the trial. A failure that may be temporary (out of time or memory) is not
 * stored.
 */
import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import { z } from 'zod'
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import { isAbsent, writeWhole } from '../../../../shared/platform/atomic-file.ts'
import type { TrialInput, TrialOutput } from './trial-job.ts'

export interface TrialRequest {
  path: string
  manifest: RangeManifest
  options: RuntimeOptions
  timeoutMs: number
  memoryBytes: number
}

const Verdict = z.object({
  sha256: z.string(),
  onnxruntime: z.string(),
  options: RuntimeOptions,
  /** The reason why the file is refused; undefined if it may be loaded. */
  refusal: z.string().optional(),
  /** ONNX Runtime's complaint about the made-up inputs, which is no reason to refuse the file. */
  complaint: z.string().optional(),
})
type Verdict = z.infer<typeof Verdict>

const { version: ONNXRUNTIME } = z
  .object({ version: z.string() })
  .parse(createRequire(import.meta.url)('onnxruntime-node/package.json'))

/**
 * Resolves if the sub-model may be loaded in this process.
 * @throws ScissionError invalidModel with the reason if it may not; cancelled.
 */
export async function trial(request: TrialRequest, signal?: AbortSignal): Promise<void> {
  const file = `${request.path}.trial.json`
  const identity = identityOf(request)
  const known = await readVerdict(file, identity)
  const verdict = known ?? (await tryOnce(request, identity, signal))
  if (known === undefined) await writeWhole(file, JSON.stringify(verdict))
  if (verdict.refusal !== undefined) {
    throw new ScissionError('invalidModel', verdict.refusal, {
      path: request.path,
      remembered: known !== undefined,
    })
  }
}

type Identity = Pick<Verdict, 'sha256' | 'onnxruntime' | 'options'>

function identityOf({ manifest, options }: TrialRequest): Identity {
  const { threads, optimisation } = options
  return {
    sha256: manifest.onnx?.sha256 ?? '',
    onnxruntime: ONNXRUNTIME,
    options: { threads, optimisation },
  }
}

async function tryOnce(
  { path, manifest, options, timeoutMs, memoryBytes }: TrialRequest,
  identity: Identity,
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  try {
    const { complaint } = await runInLimitedChild<TrialInput, TrialOutput>({
      module: new URL('./trial-job.ts', import.meta.url),
      input: { path, inputs: manifest.inputs, options },
      timeoutMs,
      memoryLimitBytes: memoryBytes,
      signal,
      doing: `trying layers ${manifest.from} to ${manifest.to}`,
    })
    return complaint === undefined ? identity : { ...identity, complaint }
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code !== 'invalidModel') throw error
    const reason = error.details?.['reason']
    if (reason === 'timeout' || reason === 'memory') throw error
    return { ...identity, refusal: error.message }
  }
}

/** The stored verdict, if it is valid for this file and these conditions. */
async function readVerdict(file: string, identity: Identity): Promise<Verdict | undefined> {
  let text: string
  try {
    text = await fs.readFile(file, 'utf8')
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
  const verdict = parseVerdict(text)
  if (verdict === undefined) return undefined
  const { sha256, onnxruntime, options } = verdict
  const same = JSON.stringify({ sha256, onnxruntime, options }) === JSON.stringify(identity)
  return same ? verdict : undefined
}

function parseVerdict(text: string): Verdict | undefined {
  try {
    return Verdict.parse(JSON.parse(text))
  } catch {
    return undefined // Damaged, or written by another version: the trial is repeated and replaces it.
  }
}
