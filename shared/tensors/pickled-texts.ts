/**
 * Reads the texts of a NumPy array of objects, which numpy.save pickles: tables of texts usually are such arrays. Of pickle's
 * language only what writes a list is known here, nothing is looked up or called, and whatever else occurs is refused.
 *
 * @see https://github.com/python/cpython/blob/main/Lib/pickletools.py (opcodes of protocols 2 to 4)
 */
import type { ScissionError } from '../platform/errors.ts'
import { encodeEach } from '../oip/bytes-elements.ts'

/** What a class or a call made: only the state that it was given counts. */
class Made {
  state: unknown
}
const MARK = Symbol('mark')

const REMEDY = 'save the array with dtype=str, or send it as JSON'

/**
 * @param limitBytes maximum of the elements: a pickle names a text that it has already given in two bytes.
 * @returns the texts as BYTES elements.
 * @throws what `refuse` makes if it is not the pickle of an array of texts; ScissionError payloadTooLarge.
 */
export function pickledTexts(
  bytes: Uint8Array,
  refuse: (why: string) => ScissionError,
  limitBytes: number,
): Uint8Array {
  const made = new Unpickler(bytes, refuse).run()
  const state = made instanceof Made && Array.isArray(made.state) ? (made.state as unknown[]) : []
  // The state of an array: version, shape, type, order, list of the elements.
  const list = state[4]
  if (!Array.isArray(list)) throw refuse(`its objects cannot be read; ${REMEDY}`)
  const elementAt = (at: number) => {
    const element: unknown = list[at]
    if (typeof element === 'string') return Buffer.from(element)
    if (element instanceof Uint8Array) return element
    throw refuse(`element ${at} of its objects is no text; ${REMEDY}`)
  }
  return encodeEach(list.length, elementAt, limitBytes)
}

class Unpickler {
  readonly #bytes: Buffer
  readonly #refuse: (why: string) => ScissionError
  readonly #stack: unknown[] = []
  readonly #memo = new Map<number, unknown>()
  #at = 0

  constructor(bytes: Uint8Array, refuse: (why: string) => ScissionError) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#refuse = refuse
  }

  run(): unknown {
    for (;;) {
      const opcode = this.#number(1)
      if (opcode === 0x2e) return this.#stack.pop()
      this.#perform(opcode)
    }
  }

  #perform(opcode: number): void {
    const stack = this.#stack
    switch (opcode) {
      case 0x80: // protocol
        return void this.#take(1)
      case 0x95: // frame
        return void this.#take(8)
      case 0x8c: // texts
      case 0x58:
      case 0x8d:
        return void stack.push(this.#sized(opcode === 0x8c ? 1 : opcode === 0x58 ? 4 : 8).toString('utf8'))
      case 0x43: // bytes
      case 0x55:
      case 0x42:
      case 0x54:
        return void stack.push(this.#sized(opcode === 0x43 || opcode === 0x55 ? 1 : 4))
      case 0x4b: // integers
      case 0x4d:
      case 0x4a:
        return void stack.push(this.#number(opcode === 0x4b ? 1 : opcode === 0x4d ? 2 : 4))
      case 0x4e: // None, True, False
      case 0x88:
      case 0x89:
        return void stack.push(opcode === 0x4e ? null : opcode === 0x88)
      case 0x28:
        return void stack.push(MARK)
      case 0x29: // empty tuple, empty list
      case 0x5d:
        return void stack.push([])
      case 0x85: // tuples of one, two and three
      case 0x86:
      case 0x87:
        return void stack.push(this.#pop(opcode - 0x84))
      case 0x74:
        return void stack.push(this.#sinceMark())
      case 0x61: // append one, append all
        return this.#append(this.#pop(1))
      case 0x65:
        return this.#append(this.#sinceMark())
      case 0x94: // remember and recall
        return void this.#memo.set(this.#memo.size, stack.at(-1))
      case 0x71:
      case 0x72:
        return void this.#memo.set(this.#number(opcode === 0x71 ? 1 : 4), stack.at(-1))
      case 0x68:
      case 0x6a:
        return void stack.push(this.#memo.get(this.#number(opcode === 0x68 ? 1 : 4)))
      case 0x63: // a class by name
        this.#line()
        this.#line()
        return void stack.push(new Made())
      case 0x93: // a class by name, a call, a new object
      case 0x52:
      case 0x81:
        this.#pop(2)
        return void stack.push(new Made())
      case 0x62: // state
        return this.#build()
      default:
        throw this.#refuse(`its objects are not only texts; ${REMEDY}`)
    }
  }

  #build(): void {
    const [made, state] = this.#pop(2)
    if (made instanceof Made) made.state = state
    this.#stack.push(made)
  }

  #append(items: readonly unknown[]): void {
    const list = this.#stack.at(-1)
    if (!Array.isArray(list)) throw this.#damaged()
    for (const item of items) list.push(item)
  }

  #pop(count: number): unknown[] {
    if (this.#stack.length < count) throw this.#damaged()
    return this.#stack.splice(-count)
  }

  #sinceMark(): unknown[] {
    const mark = this.#stack.lastIndexOf(MARK)
    if (mark < 0) throw this.#damaged()
    return this.#stack.splice(mark).slice(1)
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw this.#damaged()
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  #number(length: 1 | 2 | 4): number {
    return this.#take(length).readUIntLE(0, length)
  }

  #sized(lengthBytes: 1 | 4 | 8): Buffer {
    if (lengthBytes < 8) return this.#take(this.#number(lengthBytes as 1 | 4))
    return this.#take(Number(this.#take(8).readBigUInt64LE()))
  }

  #line(): void {
    const end = this.#bytes.indexOf(0x0a, this.#at)
    if (end < 0) throw this.#damaged()
    this.#at = end + 1
  }

  #damaged(): ScissionError {
    return this.#refuse('its pickled objects are damaged')
  }
}
