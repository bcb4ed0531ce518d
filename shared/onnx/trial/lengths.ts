/** Lengths of sequences that are recognised by their name: `lengths`, `audio_len`, `seq_len`, `num_frames`. */
import type { TypedTensor } from '../wire/element-types.ts'

const LENGTH = /(^|[^a-z])(len|lens|length|lengths|frames|steps)($|[^a-z])|(length|lengths|lens)$/i

/**
 * The sizes that the sequences of the other inputs have, the likeliest first: a dimension after the first that the file
 * leaves open is time.
 *
 * @param declared the inputs as the file declares them, -1 for open dimensions.
 * @returns an empty list if the name is not that of a length, or the input is a table.
 */
export function lengthsByName(
  input: TypedTensor,
  inputs: readonly TypedTensor[],
  declared: readonly TypedTensor[],
): number[] {
  if (!LENGTH.test(input.name) || input.shape.length > 1) return []
  const others = inputs.filter((other) => other !== input && other.shape.length > 1)
  const open = others.flatMap(({ name, shape }) => {
    const own = declared.find((one) => one.name === name)?.shape ?? []
    return shape.filter((_, axis) => axis > 0 && own[axis] === -1)
  })
  const usual = others.flatMap(({ shape }) => [shape[1] ?? 0, shape.at(-1) ?? 0])
  return [...new Set([...open, ...usual])].filter((size) => size > 0)
}
