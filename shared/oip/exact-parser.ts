/**
 * Reads JSON by recursive descent, for texts that JSON.parse would refuse or change: the JSON.parse of Node 20 does not tell
 * the source text of a number. exact-json.ts decides which texts these are.
 */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const SPACE = /[ \t\n\r]*/y
const WORDS = [
  ['true', true],
  ['false', false],
  ['null', null],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  // Triton also takes these; nobody is known to write them.
  ['Inf', Number.POSITIVE_INFINITY],
  ['-Inf', Number.NEGATIVE_INFINITY],
] as const

/** Characters of the text before a fault that the error quotes. */
const QUOTED_CHARACTERS = 20

/**
 * Unsafe integers become bigint; NaN, Infinity and -Infinity are read as words. The caller has limited the depth.
 * @throws SyntaxError from `parse`.
 */
export class ExactParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): Json {
    const value = this.#value()
    this.#match(SPACE)
    if (this.#at < this.#text.length) this.#fail()
    return value
  }

  #value(): Json {
    this.#match(SPACE)
    const first = this.#text[this.#at]
    if (first === '{') return this.#object()
    if (first === '[') return this.#array()
    if (first === '"') return this.#string()
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length
        return value
      }
    }
    return this.#number()
  }

  #object(): JsonObject {
    const entries: [string, Json][] = []
    this.#list('}', () => {
      this.#match(SPACE)
      const key = this.#string()
      this.#match(SPACE)
      if (this.#text[this.#at] !== ':') this.#fail()
      this.#at += 1
      entries.push([key, this.#value()])
    })
    return Object.fromEntries(entries)
  }

  #array(): Json[] {
    const items: Json[] = []
    this.#list(']', () => items.push(this.#value()))
    return items
  }

  #list(close: string, item: () => void): void {
    this.#at += 1
    this.#match(SPACE)
    if (this.#text[this.#at] === close) {
      this.#at += 1
      return
    }
    for (;;) {
      item()
      this.#match(SPACE)
      const next = this.#text[this.#at]
      if (next !== ',' && next !== close) this.#fail()
      this.#at += 1
      if (next === close) return
    }
  }

  #string(): string {
    const start = this.#at
    if (this.#text[start] !== '"') this.#fail()
    let end = start + 1
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1
    this.#at = end + 1
    return JSON.parse(this.#text.slice(start, end + 1)) as string
  }

  #number(): number | bigint {
    const literal = this.#match(NUMBER)
    if (!literal) return this.#fail()
    const value = Number(literal)
    if (!Number.isFinite(value))
      throw new SyntaxError(
        `the number ${literal.slice(0, QUOTED_CHARACTERS)}… is too large for any datatype`,
      )
    return /^-?\d+$/.test(literal) && !Number.isSafeInteger(value) ? BigInt(literal) : value
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #fail(): never {
    const before = this.#text.slice(Math.max(0, this.#at - QUOTED_CHARACTERS), this.#at)
    const found = this.#at < this.#text.length ? `"${this.#text[this.#at]}"` : 'end'
    throw new SyntaxError(`unexpected ${found} at position ${this.#at}, after ${JSON.stringify(before)}`)
  }
}
