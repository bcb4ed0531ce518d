/** Decides by the shapes of a model whether its requests could share a run. batch-trial.ts tries whether they may. */
import type { DeclaredTensor } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'

/**
 * A model can be batched if it takes one item and its file leaves the number of items open.
 * @returns the reason why its requests cannot share a run; undefined if that is to be tried.
 */
export function whyNoBatches(
  { inputs, outputs }: Pick<Model, 'inputs' | 'outputs'>,
  structure: Pick<Structure, 'inputs' | 'outputs' | 'layers'>,
): string | undefined {
  const fixed = [...inputs, ...outputs].find((tensor) => !isOpen(tensor))
  if (fixed) return `the first dimension of "${fixed.name}" is not open in the file`
  const other = [...structure.inputs, ...structure.outputs].find(({ shape }) => shape[0] !== 1)
  if (other) return `"${other.name}" has ${other.shape[0] ?? 'no'} rows, not one`
  const text = [...structure.inputs, ...structure.outputs].find(({ datatype }) => datatype === 'BYTES')
  if (text) return `"${text.name}" is made of strings`
  // Which a trial could not reveal.
  const deciding = structure.layers.find(({ branches }) => branches)
  return deciding && `layer ${deciding.index} is ${deciding.op}, which may decide by the whole batch`
}

const isOpen = ({ shape }: DeclaredTensor) => typeof shape[0] === 'string'

/** @returns how a range analysed for `size` items differs from `size` times the range for one; undefined if it does not. */
export function whyNoBatchOf(
  one: Pick<RangeManifest, 'inputs' | 'outputs'>,
  many: Pick<RangeManifest, 'inputs' | 'outputs'>,
  size: number,
): string | undefined {
  for (const side of ['inputs', 'outputs'] as const) {
    const names = one[side].map(({ name }) => name).join()
    const others = many[side].map(({ name }) => name).join()
    if (names !== others) return `its ${side} are ${others} instead of ${names}`
    for (const [index, spec] of one[side].entries()) {
      const other = many[side][index]
      if (!other || spec.datatype !== other.datatype || spec.datatype === 'BYTES')
        return `"${spec.name}" is ${other?.datatype}`
      const [rows = 0, ...rest] = spec.shape
      const wanted = [rows * size, ...rest]
      if (spec.shape.length === 0 || wanted.some((dim) => dim < 0) || other.shape.join() !== wanted.join())
        return `"${spec.name}" has shape [${other.shape.join()}] instead of [${wanted.join()}]`
    }
  }
  return undefined
}

/** Powers of two up to the maximum, and the maximum itself: few sessions, and no batch needs padding. */
export function batchSizes(maxBatch: number): number[] {
  const sizes = new Set<number>()
  for (let size = 2; size <= maxBatch; size *= 2) sizes.add(size)
  if (maxBatch > 1) sizes.add(maxBatch)
  return [...sizes].sort((a, b) => a - b)
}
