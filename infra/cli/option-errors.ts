/** Refusals of the services name fields of the API: here they name the options of the command line. */
import { ScissionError } from '../../shared/platform/errors.ts'
import { z } from 'zod'

/** An option that becomes a field of a request. */
export interface OptionHint {
  /** `--top` */
  flag: string
  /** What its value has to be: `a whole number from 1 to 1000`. */
  expected: string
  example: string
}

/** Field of the request, or what it begins with → the option that gives it. */
export type OptionHints = Readonly<Record<string, OptionHint>>

const Faults = z.object({ fields: z.array(z.object({ field: z.string(), message: z.string() })).min(1) })

/** What schemas say of themselves, which means nothing to a person at a shell. */
const OF_A_SCHEMA = /^(Invalid|Too (small|big)|Unrecognized key|Expected|Required)\b/

/**
 * Runs `work`, and makes of its refusals what a person at a shell can act on.
 * @throws what `work` throws, in terms of the options.
 */
export async function namingOptions<T>(hints: OptionHints, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    throw thrown instanceof ScissionError ? inOptions(thrown, hints) : thrown
  }
}

function inOptions(error: ScissionError, hints: OptionHints): ScissionError {
  const { code, details } = error
  const faults = Faults.safeParse(details).data?.fields ?? []
  const named = faults.flatMap((fault) => {
    const hint = hintOf(fault.field, hints)
    return hint ? [{ fault, hint }] : []
  })
  if (named.length === 0 || named.length < faults.length)
    return new ScissionError(code, optionNames(error.message, hints), details, error)
  const fields = [...new Set(named.map(({ hint }) => hint))].map((hint) => {
    const messages = named.filter((one) => one.hint === hint).map(({ fault }) => fault.message)
    return { option: hint.flag, message: faultText(messages, hint, hints) }
  })
  const text = fields.map(({ option, message }) => `${option} ${message}`).join('; ')
  return new ScissionError(code, text, { options: fields }, error)
}

const hintOf = (path: string, hints: OptionHints): OptionHint | undefined =>
  // `query.maxTierMs.device` is of the option for `query.maxTierMs`.
  path
    .split('.')
    .map((_, at, parts) => hints[parts.slice(0, parts.length - at).join('.')])
    .find((hint) => hint !== undefined)

function faultText(
  messages: readonly string[],
  { flag, expected, example }: OptionHint,
  hints: OptionHints,
): string {
  const own = messages.filter((message) => !OF_A_SCHEMA.test(message)).map((one) => optionNames(one, hints))
  const why = own.length > 0 ? ` (${[...new Set(own)].join('; ')})` : ''
  return `must be ${expected}, for example ${flag} ${example}${why}`
}

/** A sentence of a service (why a plan wins, what conflicts) with options in the places of fields. */
export function optionNames(text: string, hints: OptionHints): string {
  return Object.entries(hints).reduce((said, [field, { flag }]) => {
    const name = field.replaceAll(/[.[\]]/g, '\\$&')
    // A field of one small word is a word of English too: it is one only as the subject of a refusal.
    if (!/^[a-z]+[A-Z]\w*$/.test(field)) return said.replaceAll(new RegExp(`^${name}: `, 'gm'), `${flag}: `)
    return said.replaceAll(new RegExp(`\\b${name}\\b(: (?!unknown))?`, 'g'), (_, colon?: string) =>
      colon === undefined ? flag : `${flag} `,
    )
  }, text)
}
