/**
 * Verifies a deployment whose layers are loaded: runs one input through the whole model on one resource and through the
 * split, and compares the outputs.
 *
 *   1. the whole model, on the first resource that can hold it; none: the verification is impossible
 *   2. the split without its lossy codecs, which must give the same up to rounding
 *   3. if it has lossy codecs, the split as planned, which must keep to what they were calibrated at
 *
 * A deployment for a range of shapes is taken through this three times: with the sizes of the analysis, the smallest, and the
 * largest (verified-sizes.ts). Where no resource can run the whole model with an end of the range, the split alone is run: one
 * that a client will send must not find out that it does not fit into memory.
 *
 * Only outputs that differ cost more: the whole model runs again, which shows whether it is random; if not, each cut is
 * tried alone, which may show which one is at fault. All runs go through deployments of their own (trial-deployments.ts),
 * so no fallback and no other resource can stand in, and no statistics count them. Whatever the end, the resources let go
 * of these.
 */
import type { Credentials } from '../../../shared/platform/credentials.ts'
import { createBenchmarkClient } from '../../../shared/client/benchmark.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Comparison, Verification } from '../../../shared/contracts/verification.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { structureId } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import type { ResourceCalls } from '../resources/resource-calls.ts'
import { attempt, isUnreached } from './attempt.ts'
import { type Patience, SplitComparer } from './compare-split.ts'
import { type Reference, runWhole } from './run-whole.ts'
import type { TensorThread } from './tensor-thread.ts'
import { exactRule, plannedRule, type Rule } from './tolerances.ts'
import { isLossy, splitOf, wholeOn } from './trial-deployments.ts'
import { Trials } from './trials.ts'
import { verificationInput, type VerificationInput } from './verification-input.ts'
import { type VerifiedSizes, verifiedSizes } from './verified-sizes.ts'
import { type WholeModelDeps, wholeModelResources } from './whole-model-resources.ts'
import { calibrationsOf } from '../queries/usable-codecs.ts'

export interface VerifierDeps extends WholeModelDeps {
  mirror: RedisMirror
  calls: ResourceCalls
  thread: TensorThread
  /** Longest input that is made, and longest answer that is compared. */
  verifyBytes: number
  /** Where models' samples are; empty if that is not known: then all values are made up. */
  benchmarkUrl: string
  /** Shown to the benchmark service. */
  credentials?: Credentials
}

/** What all sizes have in common. */
interface Subject {
  deployment: Deployment
  structure: Structure
  samples: readonly Tensor[]
  trials: Trials
}

/** What was found; without `tookMs` and `endedAt`. */
type Found = Omit<Verification, 'tookMs' | 'endedAt'>

export class Verifier {
  readonly #deps: VerifierDeps
  readonly #comparer: SplitComparer

  constructor(deps: VerifierDeps) {
    this.#deps = deps
    this.#comparer = new SplitComparer(deps.thread)
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
    const { state, verifyBytes } = this.#deps
    const structure = await state.structures.need(structureId(deployment.model, deployment.shapesKey))
    const outputBytes = structure.outputs.reduce((sum, output) => sum + output.bytes, 0)
    if (outputBytes > verifyBytes)
      return impossible(
        `its outputs take ${outputBytes} bytes, SCISSION_VERIFY_BYTES=${verifyBytes} are compared`,
      )
    patience.report('making an input', 0)
    const samples = await attempt(() => this.#samplesOf(deployment))
    if (samples instanceof ScissionError) return impossible(`no input could be made: ${samples.message}`)
    const subject = { deployment, structure, samples, trials }
    const all: Found[] = []
    const sizes = verifiedSizes(structure, deployment.shapes)
    for (const [index, one] of sizes.entries()) {
      const report = (step: string, fraction: number) =>
        patience.report(
          one.end === undefined ? step : `${step} with ${one.end}`,
          (index + fraction) / sizes.length,
        )
      const found = await this.#verifyWith(subject, one, { signal: patience.signal, report })
      all.push(found)
      if (found.outcome === 'different' || found.outcome === 'refused') break
    }
    return together(all)
  }

  async #verifyWith(subject: Subject, sizes: VerifiedSizes, patience: Patience): Promise<Found> {
    const { deployment, structure, samples, trials } = subject
    const { signal, report } = patience
    const input = await attempt(() => verificationInput(this.#deps, structure, sizes, samples, signal))
    if (input instanceof ScissionError) {
      const reason = `no input could be made: ${input.message}`
      return sizes.end === undefined ? impossible(reason) : refused(sizes.end, reason)
    }
    const able = await wholeModelResources(this.#deps, deployment, structure)
    const tell = (step: string) => report(step, 0.1)
    const reference = await runWhole(deployment, structure, able, input, trials, tell)
    if (typeof reference !== 'string') return this.#compareWith(deployment, reference, patience)
    if (sizes.end === undefined) return impossible(reference)
    return this.#runAlone(deployment, input, sizes.end, reference, trials)
  }

  async #compareWith(deployment: Deployment, reference: Reference, patience: Patience): Promise<Found> {
    const comparisons: Comparison[] = []
    const lossy = deployment.hops.some(isLossy)
    for (const path of lossy ? (['exact', 'planned'] as const) : (['planned'] as const)) {
      patience.report(
        path === 'planned' ? 'running the split' : 'running the split without lossy codecs',
        0.6,
      )
      const rule =
        path === 'planned' && lossy
          ? this.#plannedRule(deployment, reference)
          : exactRule(reference.structure, deployment)
      const comparison = await this.#comparer
        .compare(deployment, path, rule, reference, patience)
        .catch((thrown: unknown) => {
          throw naming(reference.input.sizes.end, thrown)
        })
      if (typeof comparison === 'string') return different(reference, comparisons, comparison)
      comparisons.push(comparison)
      if (comparison.equal) continue
      const reason = await this.#comparer.explain(deployment, comparison, reference, patience)
      return different(reference, comparisons, reason)
    }
    return { outcome: 'equal', ...about(reference), comparisons }
  }

  /** Where nothing can be compared, the split must run all the same. @param why the whole model does not. */
  async #runAlone(
    deployment: Deployment,
    input: VerificationInput,
    end: string,
    why: string,
    trials: Trials,
  ): Promise<Found> {
    const outputs = await attempt(() => trials.runPatiently(splitOf(deployment, 'planned'), input.tensors))
    if (!(outputs instanceof ScissionError))
      return impossible(`nothing was compared with ${end}, though the split runs: ${why}`)
    if (isUnreached(outputs)) throw naming(end, outputs)
    return refused(end, outputs.message)
  }

  #plannedRule(deployment: Deployment, { structure, input }: Reference): Rule {
    const { model, shapesKey } = deployment
    const calibrations = calibrationsOf(this.#deps.mirror.calibrations.values(), model, shapesKey)
    return plannedRule(structure, deployment, calibrations, input.source)
  }

  async #samplesOf({ model }: Deployment): Promise<Tensor[]> {
    const { state, benchmarkUrl, credentials } = this.#deps
    return benchmarkUrl === ''
      ? []
      : createBenchmarkClient(benchmarkUrl, undefined, credentials).samples(await state.models.need(model))
  }
}

/** An error that says with which end of the range it came. */
function naming(end: string | undefined, thrown: unknown): unknown {
  if (end === undefined || !(thrown instanceof ScissionError)) return thrown
  return new ScissionError(thrown.code, `with ${end}: ${thrown.message}`, thrown.details, thrown)
}

const impossible = (reason: string): Found => ({ outcome: 'impossible', reason, comparisons: [] })

const refused = (end: string, reason: string): Found => ({
  outcome: 'refused',
  reason:
    `the deployment is to take ${end}, but does not: ${reason}. Deploy it for a smaller range of shapes, with other samples ` +
    'of the model if their values are at fault, or with verify: false',
  comparisons: [],
})

const about = ({ resource, input }: Reference) => ({ against: resource.name, input: input.source })

const different = (reference: Reference, comparisons: Comparison[], reason: string): Found => ({
  outcome: 'different',
  reason,
  ...about(reference),
  comparisons,
})

/** One record of all sizes. The worst outcome counts; `impossible` only if nothing could be compared at all. */
function together(all: readonly Found[]): Found {
  const [first] = all.filter(({ against }) => against !== undefined)
  const reasons = all.flatMap(({ reason }) => reason ?? [])
  const outcome = (['different', 'refused', 'equal'] as const).find((one) =>
    all.some((found) => found.outcome === one),
  )
  return {
    outcome: outcome ?? 'impossible',
    ...(reasons.length > 0 && { reason: reasons.join('; ') }),
    ...(first?.against && { against: first.against }),
    ...(first?.input && { input: first.input }),
    comparisons: all.flatMap(({ comparisons }) => comparisons),
  }
}
