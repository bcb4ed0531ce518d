/**
 * Before a sub-model reaches an executor thread it is loaded and run once in a throw-away process: a hostile or
 * broken file can take its process down, and that must not be the service's.
 *
 * A verdict holds for one file, one version of ONNX Runtime and one set of options; it is kept beside the sub-model,
 * so that a restart does not try again. What may be different next time (out of time, out of memory) is not kept.
 */
import fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import { z } from 'zod'
import type { RangeManifest } from '../../../../shared/contracts/range.ts'
import { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import { isAbsent } from '../../../../shared/platform/atomic-file.ts'
import { writeWhole } from '../../../../shared/platform/atomic-file.ts'
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
  /** Why the file is refused; absent when it may be loaded. */
  refusal: z.string().optional(),
  /** What ONNX Runtime said about the made-up inputs: no reason to refuse. */
  complaint: z.string().optional(),
})
type Verdict = z.infer<typeof Verdict>

const { version: ONNXRUNTIME } = z
  .object({ version: z.string() })
  .parse(createRequire(import.meta.url)('onnxruntime-node/package.json'))

/**
 * Resolves when the sub-model may be loaded in this process.
 * @throws ScissionError invalidModel with the reason when it may not; cancelled.
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

/** The verdict on disk, if it is about this very file under these conditions. */
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
    return undefined // Damaged, or of another version: the trial is repeated and writes it anew.
  }
}
