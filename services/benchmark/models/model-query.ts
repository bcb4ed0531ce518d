/** How requests name a model and its input shapes. */
import { z } from 'zod'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'

export const ModelPath = z.object({
  model: z
    .string()
    .min(1)
    .meta({ description: 'id, name (then the highest version) or name@version', examples: ['mobilenetv2'] }),
})

export const shapesText = z
  .string()
  .optional()
  .meta({
    description: 'input shapes as name:1x3x224x224, several joined by commas; the model’s own when absent',
    examples: ['input_1:1x3x224x224'],
  })

/** @throws ScissionError badRequest quoting the part that is malformed. */
export const shapesOf = ({ shapes }: { shapes?: string | undefined }): InputShapes | undefined =>
  shapes === undefined ? undefined : parseInputShapes(shapes)
