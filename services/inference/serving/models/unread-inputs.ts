/**
 * Inputs of a model that no layer reads, such as the segment ids that exporters of BERT leave behind. Clients send them, as
 * the model declares them; they cross no boundary, so no session takes them.
 */
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { checkTensor } from '../executor/check-inputs.ts'
import type { TargetTensor } from './target.ts'

/**
 * Leaves out the inputs that nothing reads, after checking them as any other.
 * @param declared the inputs as the metadata lists them: -1 marks an open dimension.
 * @throws ScissionError invalidTensor if such an input has another datatype, shape or size than declared.
 */
export function withoutUnread(
  structure: Pick<Structure, 'inputs' | 'boundaries'>,
  declared: readonly TargetTensor[],
  tensors: Tensor[],
): Tensor[] {
  const read = structure.boundaries[0]?.tensors ?? []
  if (read.length === structure.inputs.length) return tensors
  const unread = new Map(declared.filter(({ name }) => !read.includes(name)).map((spec) => [spec.name, spec]))
  return tensors.filter((tensor) => {
    const spec = unread.get(tensor.name)
    if (spec) checkTensor(spec, tensor)
    return spec === undefined
  })
}
