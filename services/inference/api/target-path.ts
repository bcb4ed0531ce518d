/** Parameters of the paths under /v2/models. */
import { z } from 'zod'

export const TargetName = z.string().meta({
  description: 'a model (`name`, `name@version` or its id), a layer range (`name:from-to`) or a deployment',
  examples: ['mobilenetv2', 'mobilenetv2:0-63'],
})
const layer = (description: string, example: string) =>
  z.string().meta({ description, examples: [example], pattern: '^\\d{1,9}$' })

export const TargetPath = z.object({ model: TargetName })
export const VersionPath = TargetPath.extend({
  version: z.string().meta({ description: 'a number', examples: ['1'] }),
})
export const LayersPath = z.object({
  model: z.string().meta({
    description: 'a model (`name`, `name@version` or its id) or a deployment',
    examples: ['mobilenetv2'],
    pattern: '^[^:]+$',
  }),
  from: layer('the first layer', '0'),
  to: layer('the layer after the last', '63'),
})
