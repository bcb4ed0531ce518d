/** Runs a split and compares its outputs with those of the whole model. */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Comparison, OutputDifference } from '../../../shared/contracts/verification.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { attempt, isUnreached } from './attempt.ts'
import { describeDifference, describeSuspects } from './describe-difference.ts'
import { allowRandom } from './judge-outputs.ts'
import type { Reference } from './run-whole.ts'
import type { TensorThread } from './tensor-thread.ts'
import { exactRule, type Rule } from './tolerances.ts'
import { cutOn, cutsOf, splitOf, wholeOn } from './trial-deployments.ts'
import { describeInput } from './verification-input.ts'

export interface Patience {
  /** Aborted when nobody wants the result any more. */
  signal: AbortSignal
  /** Called before each step. @param fraction 0..1 of what is under way. */
  report: (step: string, fraction: number) => void
}

/** More cuts than this are not tried one by one. */
const MAX_CUTS_TRIED = 8

/** Compares splits of one verification; tensors that are large move to its thread. */
export class SplitComparer {
  readonly #thread: TensorThread

  constructor(thread: TensorThread) {
    this.#thread = thread
  }

  /**
   * @returns a sentence if the split refuses what the whole model took.
   * @throws ScissionError of a resource that did not answer; cancelled.
   */
  async compare(
    deployment: Deployment,
    path: Comparison['path'],
    rule: Rule,
    reference: Reference,
    { signal, report }: Patience,
  ): Promise<Comparison | string> {
    const { trials, input, resource } = reference
    const actual = await attempt(() => trials.runPatiently(splitOf(deployment, path), input.tensors))
    if (actual instanceof ScissionError) {
      if (isUnreached(actual)) throw actual
      return `the whole model runs with ${describeInput(input)} on ${resource.name}, the split does not: ${actual.message}`
    }
    report('comparing the outputs', 0.9)
    let outputs = await this.#judge(reference, actual, rule, signal)
    if (!outputs.every(({ equal }) => equal))
      outputs = await this.#allowRandom(outputs, deployment, reference, signal)
    const { measure, basis } = rule
    const { shapes } = input.sizes
    return {
      path,
      ...(shapes && { inputShapes: shapes, against: resource.name }),
      measure,
      basis,
      equal: outputs.every(({ equal }) => equal),
      outputs,
    }
  }

  /** Says what differs, and which cut alone makes it differ, if one does. @throws ScissionError cancelled. */
  async explain(
    deployment: Deployment,
    comparison: Comparison,
    reference: Reference,
    { signal, report }: Patience,
  ): Promise<string> {
    const { structure, resource, input, trials } = reference
    const difference = describeDifference(comparison, resource.name, describeInput(input))
    // Lossy codecs are to blame: without them the split gave the same.
    if (comparison.measure === 'relativeError') return difference
    const cuts = cutsOf(deployment, structure.layers.length)
    const suspects: number[] = []
    for (const cut of cuts.slice(0, MAX_CUTS_TRIED)) {
      report(`trying the cut at boundary ${cut} alone`, 0.95)
      const trial = cutOn(deployment, resource, structure.layers.length, cut)
      const actual = await attempt(() => trials.run(trial, input.tensors))
      if (actual instanceof ScissionError)
        return `${difference}; which cut is at fault was not found: ${actual.message}`
      const outputs = await this.#judge(reference, actual, exactRule(structure, deployment), signal)
      if (!outputs.every(({ equal }) => equal)) suspects.push(cut)
    }
    return `${difference}; ${describeSuspects(suspects, cuts, structure, resource.name)}`
  }

  async #judge(
    reference: Reference,
    actual: Tensor[],
    rule: Rule,
    signal: AbortSignal,
  ): Promise<OutputDifference[]> {
    const { tensors, differences } = await this.#thread.judge(reference.outputs, actual, rule, signal)
    reference.outputs = tensors
    return differences
  }

  /** Runs the whole model again: what differs between two runs of it says nothing about the split. */
  async #allowRandom(
    outputs: OutputDifference[],
    deployment: Deployment,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<OutputDifference[]> {
    const { structure, resource, input, trials } = reference
    const again = await trials.run(wholeOn(deployment, resource, structure.layers.length), input.tensors)
    const rule = exactRule(structure, deployment)
    return allowRandom(outputs, await this.#judge(reference, again, rule, signal))
  }
}
