/** Long JSON documents, written a piece at a time, so that nobody else waits: what check-in-turns.ts reads. */
import { nextTurn, PIECE_CHARACTERS } from './turns.ts'

/**
 * The bytes of `JSON.stringify(document)`, in pieces.
 * @param document holds no list at its top that is changed meanwhile.
 * @param signal aborted when nobody wants them any more. @throws its reason then.
 */
export async function jsonInTurns(document: object, signal?: AbortSignal): Promise<Buffer[]> {
  const pieces: Buffer[] = []
  let text = ''
  for (const part of partsOf(document)) {
    text += part
    if (text.length < PIECE_CHARACTERS) continue
    pieces.push(Buffer.from(text))
    text = ''
    await nextTurn()
    signal?.throwIfAborted()
  }
  pieces.push(Buffer.from(text))
  return pieces
}

/** The elements of lists at the top one by one: they are what makes a document long. */
function* partsOf(document: object): Generator<string> {
  let before = '{'
  for (const [field, value] of Object.entries(document) as [string, unknown][]) {
    const name = `${before}${JSON.stringify(field)}:`
    if (Array.isArray(value)) {
      yield `${name}[`
      for (const [index, element] of value.entries()) yield (index === 0 ? '' : ',') + textOf(element, 'null')
      yield ']'
    } else {
      const text = textOf(value, '')
      if (text === '') continue
      yield name + text
    }
    before = ','
  }
  yield before === '{' ? '{}' : '}'
}

/** @param absent for what JSON has no word for, such as undefined. */
const textOf = (value: unknown, absent: string): string => JSON.stringify(value) ?? absent
