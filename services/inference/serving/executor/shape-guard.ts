/**
 * Guards a stage that takes any shape against shapes that need more memory than there is: ONNX Runtime would take it from
 * this process, and the service would end for everybody.
 *
 * What a shape needs at most is estimated from what the stage needs with the shape that it was analysed with: no tensor
 * grows faster than the square of the inputs (attention pairs every element with every other). A shape for which that is
 * much is run once in a child process with a memory limit. Shapes that are no larger than one that was run there follow.
 */
import { LRUCache } from 'lru-cache'
import type { InputShapes } from '../../../../shared/contracts/common.ts'
import { formatInputShapes } from '../../../../shared/contracts/format-input-shapes.ts'
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { waitWithin } from '../../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { FairQueue } from '../../../../shared/platform/fair-queue.ts'
import { OWN_WORK } from '../../../../shared/platform/http-server/client-of.ts'
import { checkInputs } from './check-inputs.ts'
import type { LoadedStage, RunOptions } from './executor.ts'
import { givenUp } from './executor-errors.ts'
import { entryOf } from '../../../../shared/platform/entry-of.ts'

/** Share of the memory limit that a shape may need by the estimate without being run in a child first. */
const FREE_SHARE = 1 / 8
/** One run in a child at a time: it may take the whole memory limit. Each client's shapes in turn. */
const TRIALS = { what: 'trials of large shapes', atOnce: 1, waiting: 16, waitingOfClient: 8 }
/** Largest shapes that are remembered per stage; none of them is larger than another. */
const MAX_ADMITTED_COUNT = 32
const MAX_STAGES_COUNT = 1000
/** ms for which a refused shape is not tried again. */
const REFUSED_MS = 60_000
const MAX_REFUSED_COUNT = 1000

export interface ShapeGuardDeps {
  memoryBytes: number
  /** Runs the stage once with made-up inputs. @throws ScissionError invalidModel with the reason if it broke a limit. */
  tryOnce: (stage: LoadedStage, inputs: RangeManifest['inputs']) => Promise<void>
}

export class ShapeGuard {
  readonly #deps: ShapeGuardDeps
  readonly #trials = new FairQueue(TRIALS)
  readonly #admitted = new LRUCache<string, InputShapes[]>({ max: MAX_STAGES_COUNT })
  readonly #refused = new LRUCache<string, ScissionError>({ max: MAX_REFUSED_COUNT, ttl: REFUSED_MS })

  constructor(deps: ShapeGuardDeps) {
    this.#deps = deps
  }

  /**
   * Resolves if the stage may run with these inputs.
   * @throws ScissionError payloadTooLarge if they need too much memory or time; invalidTensor if they crash ONNX Runtime, or
   *   are no inputs of the stage; tooManyRequests, overloaded, deadlineExceeded, cancelled.
   */
  async admit(stage: LoadedStage, inputs: readonly Tensor[], options: RunOptions): Promise<void> {
    const { manifest, path, place } = stage
    // A process has a limit on its memory, whatever the shapes are.
    if (manifest.peakBytes === undefined || path === null || place === 'processes') return
    checkInputs(manifest, inputs)
    if (mostBytes(manifest, manifest.peakBytes, inputs) <= this.#deps.memoryBytes * FREE_SHARE) return
    const shapes = Object.fromEntries(inputs.map(({ name, shape }) => [name, shape]))
    if (this.#isAdmitted(stage, shapes)) return
    const { client = OWN_WORK.client, signal, deadline } = options
    const late = () => givenUp(`trying ${formatInputShapes(shapes)}`, 'late')
    const tried = this.#trials.run({ client, gone: signal }, async () => {
      // Its place in the queue was kept for nobody.
      if (deadline !== undefined && performance.now() >= deadline) throw late()
      await this.#try(stage, shapes)
    })
    await waitWithin(tried, options, (why) => givenUp(`trying ${formatInputShapes(shapes)}`, why))
  }

  #isAdmitted({ key }: LoadedStage, shapes: InputShapes): boolean {
    return (this.#admitted.get(key) ?? []).some((larger) => isWithin(shapes, larger))
  }

  async #try(stage: LoadedStage, shapes: InputShapes): Promise<void> {
    // One that waited before this one may have been as large.
    if (this.#isAdmitted(stage, shapes)) return
    const id = `${stage.key} ${formatInputShapes(shapes)}`
    const before = this.#refused.get(id)
    if (before) throw before
    try {
      const inputs = stage.manifest.inputs.map((spec) => ({
        ...spec,
        shape: entryOf(shapes, spec.name) ?? spec.shape,
      }))
      await this.#deps.tryOnce(stage, inputs)
    } catch (error) {
      if (!(error instanceof ScissionError) || error.code !== 'invalidModel') throw error
      const refusal = refusalOf(error, shapes)
      this.#refused.set(id, refusal)
      throw refusal
    }
    const others = (this.#admitted.get(stage.key) ?? []).filter((smaller) => !isWithin(smaller, shapes))
    this.#admitted.set(stage.key, [...others, shapes].slice(-MAX_ADMITTED_COUNT))
  }
}

/** Bytes that the tensors of a stage take at most at one time. @param peakBytes with the shapes of its analysis. */
function mostBytes({ inputs }: RangeManifest, peakBytes: number, given: readonly Tensor[]): number {
  const growth = given.map(({ name, bytes }) => {
    const analysed = inputs.find((spec) => spec.name === name)?.bytes ?? 0
    return bytes.byteLength / Math.max(1, analysed)
  })
  return peakBytes * Math.max(1, ...growth) ** 2
}

const isWithin = (shapes: InputShapes, larger: InputShapes): boolean =>
  Object.entries(shapes).every(([name, dims]) =>
    dims.every((dim, axis) => dim <= (entryOf(larger, name)?.[axis] ?? -1)),
  )

function refusalOf(error: ScissionError, shapes: InputShapes): ScissionError {
  const reason = error.details?.['reason']
  const isLimit = reason === 'memory' || reason === 'timeout'
  const setting = reason === 'memory' ? 'SCISSION_TRIAL_MEMORY_BYTES' : 'SCISSION_TRIAL_TIMEOUT_MS'
  return new ScissionError(
    isLimit ? 'payloadTooLarge' : 'invalidTensor',
    `the inputs ${formatInputShapes(shapes)} are too much for this resource: ${error.message}` +
      `${isLimit ? `; ${setting} sets the limit` : ''}; not tried again for ${REFUSED_MS / 1000} s`,
    { ...error.details, shapes },
    error,
  )
}
