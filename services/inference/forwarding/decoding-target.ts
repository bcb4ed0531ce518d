/** Models and layer ranges take encoded tensors from clients, in the form in which hops send them to each other. */
import { type InferContext, type Inference, takesOf, type Target } from '../serving/models/target.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { BoundaryCodec } from './boundary-codec.ts'

/** The same target, which decodes its inputs first; its report then says how long that took. */
export function decodingTarget(target: Target, codec: BoundaryCodec): Target {
  const infer = (inputs: Tensor[], context: InferContext): Promise<Inference> =>
    codec.decode(
      inputs,
      { takes: takesOf(target), signal: context.signal },
      async ({ tensors, decodeMs }) => {
        const inference = await target.infer(tensors, context)
        const [own, ...others] = inference.hops
        return own && decodeMs !== undefined
          ? { ...inference, hops: [{ ...own, decodeMs }, ...others] }
          : inference
      },
    )
  // A copy would freeze what the target says of itself: whether it takes batches is found out later.
  return Object.create(target, { infer: { value: infer, enumerable: true } }) as Target
}
