/** Shapes as text. Loads no schema library: processes that should start quickly say which shapes they failed at. */
import type { InputShapes } from './common.ts'

/** As written in URLs and on command lines, `name:1x3x224x224,other:1x16`: the inverse of `parseInputShapes`. */
export function formatInputShapes(shapes: InputShapes): string {
  // Names come from files: a comma in one would end its shape early.
  if (Object.keys(shapes).some((name) => name === '' || name.includes(',') || name.startsWith('{')))
    return JSON.stringify(shapes)
  return Object.entries(shapes)
    .map(([name, dims]) => `${name}:${dims.join('x')}`)
    .join(',')
}
