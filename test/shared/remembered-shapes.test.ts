import { expect, it } from 'vitest'
import { rememberedShapesNote } from '../../shared/contracts/input-shapes.ts'

const fixed = { name: 'mask', datatype: 'FP32' as const, shape: [1, 16] }
const open = { name: 'image', datatype: 'FP32' as const, shape: ['batch', 3, 224, 224] }

it('says which shapes stand for those that were not given, of the inputs that leave something open', () => {
  const used = { mask: [1, 16], image: [1, 3, 224, 224] }
  expect(rememberedShapesNote([fixed, open], used)).toMatch(/are used, image:1x3x224x224$/)
  expect(rememberedShapesNote([fixed], used)).toBeUndefined()
})
