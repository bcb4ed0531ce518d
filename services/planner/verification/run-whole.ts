/** The run that a split is compared with: the whole model on one resource. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { attempt, blamesInput } from './attempt.ts'
import { wholeOn } from './trial-deployments.ts'
import type { Trials } from './trials.ts'
import { describeInput, type VerificationInput } from './verification-input.ts'
import type { WholeModelResources } from './whole-model-resources.ts'

/** What is known once the whole model has run. */
export interface Reference {
  structure: Structure
  resource: Resource
  input: VerificationInput
  /** Moved to the thread and back by each comparison. */
  outputs: Tensor[]
  trials: Trials
}

/**
 * Runs the whole model on the first resource that can.
 * @param report is told of each step. @returns the reason why no resource could run it with the input.
 * @throws ScissionError cancelled.
 */
export async function runWhole(
  deployment: Deployment,
  structure: Structure,
  { able, unable }: WholeModelResources,
  input: VerificationInput,
  trials: Trials,
  report: (step: string) => void,
): Promise<Reference | string> {
  const reasons = [...unable]
  for (const resource of able) {
    report(`running the whole model on ${resource.name}`)
    const trial = wholeOn(deployment, resource, structure.layers.length)
    const outputs = await attempt(() => trials.run(trial, input.tensors))
    if (!(outputs instanceof ScissionError)) return { structure, resource, input, outputs, trials }
    if (blamesInput(outputs))
      return `the whole model does not run with ${describeInput(input)} on ${resource.name}: ${outputs.message}`
    reasons.push(`${resource.name}: ${outputs.message}`)
  }
  return `no resource could run the whole model: ${reasons.join('; ') || 'none that has its layers is alive'}`
}
