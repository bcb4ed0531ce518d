/** Runs trial deployments, and has the resources let go of them in the end. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { type ResourceCalls, resourcesOf } from '../resources/resource-calls.ts'

/** A resource that restarts, or is overloaded for a moment, must not fail a deployment. */
const ATTEMPTS = 3
const PAUSE_MS = 1000

type Calls = Pick<ResourceCalls, 'tell' | 'run' | 'letGo'>

export class Trials {
  readonly #calls: Calls
  readonly #maxBytes: number
  readonly #signal: AbortSignal
  /** Those that resources were told of; the whole model may be among them once for each resource that was asked. */
  readonly #told: Deployment[] = []

  /** @param maxBytes of an answer. @param signal ends everything with `cancelled`. */
  constructor(calls: Calls, maxBytes: number, signal: AbortSignal) {
    this.#calls = calls
    this.#maxBytes = maxBytes
    this.#signal = signal
  }

  /** Has its resources load the trial, then runs it once. @throws ScissionError as they answer; cancelled. */
  async run(trial: Deployment, inputs: readonly Tensor[]): Promise<Tensor[]> {
    if (this.#signal.aborted) throw cancelled()
    this.#told.push(trial)
    // All of them end before this does: a resource must not hear of the trial after it was told to let go of it.
    const told = await Promise.allSettled(
      resourcesOf(trial).map((resource) => this.#calls.tell(resource, trial, this.#signal)),
    )
    const failed = told.find((one) => one.status === 'rejected')
    if (failed) throw failed.reason
    return await this.#calls.run(trial, inputs, { maxBytes: this.#maxBytes, signal: this.#signal })
  }

  /** The same, again after a pause if a resource cannot be reached or has no time. */
  async runPatiently(trial: Deployment, inputs: readonly Tensor[]): Promise<Tensor[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.run(trial, inputs)
      } catch (thrown) {
        if (attempt === ATTEMPTS || !(thrown instanceof ScissionError) || !PASSES.has(thrown.code))
          throw thrown
        await sleep(PAUSE_MS, undefined, { signal: this.#signal }).catch(() => {
          throw cancelled()
        })
      }
    }
  }

  /** Best effort. */
  async end(): Promise<void> {
    const told = this.#told.flatMap((trial) => resourcesOf(trial).map((resource) => ({ trial, resource })))
    const once = new Map(told.map((one) => [`${one.trial.id} ${one.resource}`, one]))
    await Promise.all([...once.values()].map(({ trial, resource }) => this.#calls.letGo([resource], trial)))
  }
}

const PASSES = new Set(['peerUnavailable', 'notReady', 'overloaded'])
const cancelled = () => new ScissionError('cancelled', 'the verification was cancelled')
