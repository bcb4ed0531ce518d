/** The order in which an experiment sends its requests. Pure. */
import type { Experiment } from '../../shared/contracts/experiment.ts'
import { generator } from '../../shared/onnx/sample-inputs/sample-inputs.ts'

export interface Turn {
  /** Index of what is asked. */
  at: number
  repetition: number
}

/**
 * @param count of what is asked. @returns every one of them in every repetition, once. The same seed gives the same order.
 */
export function scheduleOf(
  count: number,
  { repetitions, order, seed }: Pick<Experiment, 'repetitions' | 'order' | 'seed'>,
): Turn[] {
  const all = Array.from({ length: count }, (_, at) => at)
  const rounds = Array.from({ length: repetitions }, (_, repetition) => repetition)
  if (order === 'inOrder') return all.flatMap((at) => rounds.map((repetition) => ({ at, repetition })))
  const random = generator(seed)
  return rounds.flatMap((repetition) => shuffled(all, random).map((at) => ({ at, repetition })))
}

/** Every order is equally likely (Fisher and Yates). */
function shuffled(values: readonly number[], random: () => number): number[] {
  const mixed = [...values]
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1))
    const [a, b] = [mixed[last] as number, mixed[other] as number]
    mixed[last] = b
    mixed[other] = a
  }
  return mixed
}
