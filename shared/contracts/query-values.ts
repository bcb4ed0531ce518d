/** Schemas of query values that are lists or records in JSON and one text in a URL. */
import { z } from 'zod'

/** A list; in a URL `edge,cloud`. */
export const nameList = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').filter(Boolean) : value),
    z.array(item),
  )

/** Values by name; in a URL `device:20,edge:5`. @param example of the whole in a URL, for the description. */
export const figures = <K extends z.ZodType<string, string>, V extends z.ZodType>(
  key: K,
  value: V,
  example = 'device:20,edge:5',
) =>
  z
    .preprocess(
      (given, context) =>
        typeof given === 'string' ? pairsOf(given, (text) => text || undefined, context) : given,
      z.record(key, value),
    )
    .meta(inUrl('name:value, several joined by commas', example))

/** Metadata of a field that has another form in a URL than in JSON: what the OpenAPI description says of the parameter. */
export const inUrl = (description: string, example: string) => ({
  inUrl: { type: 'string', description, examples: [example] },
})

/**
 * Parses `a:1,b:2` to { a: …, b: … }. A repeated name is a fault.
 * @param read converts the text after a colon; undefined is refused by every schema of numbers.
 */
export function pairsOf(
  text: string,
  read: (value: string) => unknown,
  context: { addIssue: (message: string) => void },
): Record<string, unknown> {
  const pairs = text.split(',').filter(Boolean)
  const entries = pairs.map((pair) => {
    const [name = '', value = ''] = pair.split(/:(.*)/s, 2)
    return [name, read(value)] as const
  })
  const names = entries.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) context.addIssue(`${twice} is given twice`)
  return Object.fromEntries(entries)
}

/** A boolean; in a URL `true` or `false`. */
export const yesOrNo = z.preprocess(
  (given) => (given === 'true' ? true : given === 'false' ? false : given),
  z.boolean(),
)

/**
 * A number; in a URL, its digits. Other values are refused: coerced, an empty text and null (JSON's NaN) would become a
 * limit of 0, and true one of 1.
 */
export const numeric = (number: z.ZodNumber) =>
  z.preprocess((given) => (typeof given === 'string' && given.trim() !== '' ? Number(given) : given), number)
