/**
 * Verifies a deployment whose layers are loaded: runs one input through the whole model on one resource and through the
 * split, and compares the outputs.
 *
 *   1. the whole model, on the first resource that can hold it; none: the verification is impossible
 *   2. the split without its lossy codecs, which must give the same up to rounding
 *   3. if it has lossy codecs, the split as planned, which must keep to what they were calibrated at
 *
 * Only outputs that differ cost more: the whole model runs again, which shows whether it is random; if not, each cut is
 * tried alone, which may show which one is at fault. All runs go through deployments of their own (trial-deployments.ts),
 * so no fallback and no other resource can stand in, and no statistics count them. Whatever the end, the resources let go
 * of these.
 */
import { createBenchmarkClient } from '../../../shared/client/benchmark.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Comparison, OutputDifference, Verification } from '../../../shared/contracts/verification.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { structureId } from '../../../shared/platform/redis/state.ts'
import type { ResourceCalls } from '../resources/resource-calls.ts'
import { describeDifference, describeSuspects } from './describe-difference.ts'
import { allowRandom } from './judge-outputs.ts'
import type { TensorThread } from './tensor-thread.ts'
import { exactRule, plannedRule, type Rule } from './tolerances.ts'
import { cutOn, cutsOf, isLossy, splitOf, wholeOn } from './trial-deployments.ts'
import { Trials } from './trials.ts'
import { type VerificationInput, verificationInput } from './verification-input.ts'
import { type WholeModelDeps, wholeModelResources } from './whole-model-resources.ts'
import { calibrationsOf } from '../queries/problem-builder.ts'

export interface VerifierDeps extends WholeModelDeps {
  calls: ResourceCalls
  thread: TensorThread
  /** Longest answer that is compared. */
  verifyBytes: number
  /** Where models' samples are; empty if that is not known: then all values are made up. */
  benchmarkUrl: string
}

export interface Patience {
  /** Aborted when nobody wants the result any more. */
  signal: AbortSignal
  /** Called before each step. @param fraction 0..1 of the verification. */
  report: (step: string, fraction: number) => void
}

/** More cuts than this are not tried one by one. */
const MAX_CUTS_TRIED = 8

/** What is known once the whole model has run. */
interface Reference {
  structure: Structure
  resource: Resource
  input: VerificationInput
  /** Moved to the thread and back by each comparison. */
  outputs: Tensor[]
  trials: Trials
}

export class Verifier {
  readonly #deps: VerifierDeps

  constructor(deps: VerifierDeps) {
    this.#deps = deps
  }

  /**
   * @returns what was found; without `tookMs` and `endedAt`.
   * @throws ScissionError of the split if a resource of it did not answer; cancelled.
   */
  async verify(deployment: Deployment, patience: Patience): Promise<Verification> {
    const trials = new Trials(this.#deps.calls, this.#deps.verifyBytes, patience.signal)
    try {
      return await this.#verify(deployment, patience, trials)
    } finally {
      await trials.end()
    }
  }

  /** Has resources let go of what a verification that did not end may have left there. */
  async forget(deployment: Deployment): Promise<void> {
    const { state, calls } = this.#deps
    const structure = await state.structures.find(structureId(deployment.model, deployment.shapesKey))
    const able = structure ? (await wholeModelResources(this.#deps, deployment, structure)).able : []
    const layers = structure?.layers.length ?? 0
    for (const resource of able) await calls.letGo([resource.name], wholeOn(deployment, resource, layers))
    for (const path of ['exact', 'planned'] as const)
      await calls.letGo(
        deployment.hops.map((hop) => hop.resource),
        splitOf(deployment, path),
      )
  }

  async #verify(deployment: Deployment, patience: Patience, trials: Trials): Promise<Verification> {
    const reference = await this.#runWhole(deployment, patience, trials)
    if (typeof reference === 'string') return { outcome: 'impossible', reason: reference, comparisons: [] }
    const comparisons: Comparison[] = []
    const lossy = deployment.hops.some(isLossy)
    for (const path of lossy ? (['exact', 'planned'] as const) : (['planned'] as const)) {
      patience.report(
        path === 'planned' ? 'running the split' : 'running the split without lossy codecs',
        0.6,
      )
      const rule = path === 'planned' && lossy ? this.#plannedRule(deployment, reference) : undefined
      const comparison = await this.#compare(deployment, path, rule, reference, patience)
      if (typeof comparison === 'string') return found(reference, comparisons, comparison)
      comparisons.push(comparison)
      if (comparison.equal) continue
      return found(reference, comparisons, await this.#explain(deployment, comparison, reference, patience))
    }
    return found(reference, comparisons)
  }

  #plannedRule(deployment: Deployment, { structure, input }: Reference): Rule {
    const { model, shapesKey } = deployment
    const calibrations = calibrationsOf(this.#deps.mirror.calibrations.values(), model, shapesKey)
    return plannedRule(structure, deployment, calibrations, input.source)
  }

  /** @returns the reason why no resource could run the whole model with the input. */
  async #runWhole(
    deployment: Deployment,
    { signal, report }: Patience,
    trials: Trials,
  ): Promise<Reference | string> {
    const { state, thread, verifyBytes } = this.#deps
    const structure = await state.structures.need(structureId(deployment.model, deployment.shapesKey))
    const outputBytes = structure.outputs.reduce((sum, output) => sum + output.bytes, 0)
    if (outputBytes > verifyBytes)
      return `its outputs take ${outputBytes} bytes, SCISSION_VERIFY_BYTES=${verifyBytes} are compared`
    report('making an input', 0)
    const input = await attempt(async () => {
      const samples = await this.#samplesOf(deployment)
      return verificationInput(structure, deployment.shapes, samples, thread, signal)
    })
    if (input instanceof ScissionError) return `no input could be made: ${input.message}`
    const { able, unable } = await wholeModelResources(this.#deps, deployment, structure)
    const reasons = [...unable]
    for (const resource of able) {
      report(`running the whole model on ${resource.name}`, 0.1)
      const trial = wholeOn(deployment, resource, structure.layers.length)
      const outputs = await attempt(() => trials.run(trial, input.tensors))
      if (!(outputs instanceof ScissionError)) return { structure, resource, input, outputs, trials }
      if (BLAMES_INPUT.has(outputs.code))
        return `the whole model does not run with the ${input.source} input on ${resource.name}: ${outputs.message}`
      reasons.push(`${resource.name}: ${outputs.message}`)
    }
    return `no resource could run the whole model: ${reasons.join('; ') || 'none that has its layers is alive'}`
  }

  async #samplesOf({ model }: Deployment): Promise<Tensor[]> {
    const { state, benchmarkUrl } = this.#deps
    return benchmarkUrl === ''
      ? []
      : createBenchmarkClient(benchmarkUrl).samples(await state.models.need(model))
  }

  /** @returns the error of the split if it refuses what the whole model took. */
  async #compare(
    deployment: Deployment,
    path: Comparison['path'],
    rule: Rule | undefined,
    reference: Reference,
    { signal, report }: Patience,
  ): Promise<Comparison | string> {
    const { trials, input, structure } = reference
    const run = () => trials.runPatiently(splitOf(deployment, path), input.tensors)
    const actual = await attempt(run)
    if (actual instanceof ScissionError) {
      if (UNREACHED.has(actual.code)) throw actual
      return `the whole model runs with the ${input.source} input on ${reference.resource.name}, the split does not: ${actual.message}`
    }
    report('comparing the outputs', 0.9)
    const held = rule ?? exactRule(structure, deployment)
    let outputs = await this.#judge(reference, actual, held, signal)
    if (!outputs.every(({ equal }) => equal))
      outputs = await this.#allowRandom(outputs, deployment, reference, signal)
    const { measure, basis } = held
    return { path, measure, basis, equal: outputs.every(({ equal }) => equal), outputs }
  }

  async #judge(
    reference: Reference,
    actual: Tensor[],
    rule: Rule,
    signal: AbortSignal,
  ): Promise<OutputDifference[]> {
    const { tensors, differences } = await this.#deps.thread.judge(reference.outputs, actual, rule, signal)
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

  /** Says what differs, and which cut alone makes it differ, if one does. */
  async #explain(
    deployment: Deployment,
    comparison: Comparison,
    reference: Reference,
    { signal, report }: Patience,
  ): Promise<string> {
    const difference = describeDifference(comparison, reference.resource.name, reference.input.source)
    // Lossy codecs are to blame: without them the split gave the same.
    if (comparison.measure === 'relativeError') return difference
    const { structure, resource, input, trials } = reference
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
}

/** The codes of errors that say nothing about the model: its machine was not reached, or did not get to it. */
const UNREACHED = new Set(['peerUnavailable', 'notReady', 'overloaded', 'deadlineExceeded', 'notFound'])
/** Any machine would answer the same. */
const BLAMES_INPUT = new Set(['badRequest', 'invalidTensor', 'invalidValues', 'payloadTooLarge'])

/** @returns a failure as a value. @throws ScissionError cancelled; what is no ScissionError. */
async function attempt<T>(work: () => Promise<T>): Promise<T | ScissionError> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError) || thrown.code === 'cancelled') throw coerceError(thrown)
    return thrown
  }
}

const found = (
  { resource, input }: Reference,
  comparisons: Comparison[],
  different?: string,
): Verification => ({
  outcome: different === undefined ? 'equal' : 'different',
  ...(different !== undefined && { reason: different }),
  against: resource.name,
  input: input.source,
  comparisons,
})
