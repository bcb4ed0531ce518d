import { type DeclaredTensor, InputShapes } from './common.ts'
import { formatInputShapes } from './format-input-shapes.ts'
import { ScissionError } from '../platform/errors.ts'

/**
 * Parses shapes as written in URLs and on command lines: `name:1x3x224x224`, several joined by `,`. Names with a comma
 * need JSON: `{"a,b":[1,3]}`.
 * @throws ScissionError badRequest quoting the part that is malformed.
 */
export function parseInputShapes(text: string): InputShapes {
  if (text.startsWith('{')) return parseJsonShapes(text)
  const shapes: InputShapes = {}
  for (const part of text.split(',').filter(Boolean)) {
    const colon = part.lastIndexOf(':')
    const dims = part.slice(colon + 1)
    if (colon < 1 || !/^(\d+(x\d+)*)?$/.test(dims)) {
      throw new ScissionError('badRequest', `input shape "${part}" is not of the form name:1x3x224x224`, {
        shape: part,
      })
    }
    shapes[part.slice(0, colon)] = dims === '' ? [] : dims.split('x').map(Number)
  }
  return shapes
}

/**
 * Says which shapes of a model stand for those that a request did not give.
 * @returns undefined if its inputs leave nothing open.
 */
export function rememberedShapesNote(
  inputs: readonly DeclaredTensor[],
  remembered: InputShapes,
): string | undefined {
  const open = inputs.filter(({ shape }) => shape.some((dim) => typeof dim === 'string'))
  if (open.length === 0) return undefined
  const used = Object.fromEntries(open.map(({ name }) => [name, remembered[name] ?? []]))
  return `no input shapes were given: those that the model has are used, ${formatInputShapes(used)}`
}

function parseJsonShapes(text: string): InputShapes {
  try {
    return InputShapes.parse(JSON.parse(text))
  } catch (thrown) {
    throw new ScissionError(
      'badRequest',
      `input shapes ${text} are not of the form {"name":[1,3,224,224]}`,
      undefined,
      thrown,
    )
  }
}
