/**
 * Reads the original's `.dat` files: Python pickles (protocols 2 to 4) of dictionaries, lists, numbers and strings, and of
 * plain objects with such attributes. It never calls or imports anything: an object of any class becomes a record of its
 * attributes, and a pickle that would need code to run is refused.
 *
 * pickleparser 0.2.1 was tried in its place: it reads the five bytes `42 fb ff ff ff` forever, because a negative length
 * moves its reader backwards, and it reads a negative LONG1 as a positive number.
 */
import { ScissionError } from '../platform/errors.ts'

export type Pickled = null | boolean | number | string | Pickled[] | Map<Pickled, Pickled> | PickledObject

/** An object of a class, by name, with its attributes; the class itself has none. */
export class PickledObject {
  readonly className: string
  attributes = new Map<Pickled, Pickled>()

  constructor(className: string) {
    this.className = className
  }
}

const MARK = Symbol('mark')
type Item = Pickled | typeof MARK

/** @param file is named in errors. @throws ScissionError badRequest if the bytes are not such a pickle. */
export function unpickle(bytes: Uint8Array, file: string): Pickled {
  return new Machine(bytes, file).run()
}

class Machine {
  readonly #bytes: Buffer
  readonly #file: string
  readonly #stack: Item[] = []
  readonly #memo = new Map<number, Item>()
  #at = 0

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#file = file
  }

  run(): Pickled {
    for (;;) {
      const opcode = String.fromCharCode(this.#byte())
      if (opcode === '.') return this.#pop()
      const instruction = this.#instructions[opcode]
      if (!instruction) throw this.#refuse(`it holds the instruction ${JSON.stringify(opcode)}`)
      instruction()
    }
  }

  /** By opcode (Python's pickletools.py). */
  readonly #instructions: Readonly<Record<string, () => unknown>> = {
    // Protocol, frames, marks and the memo.
    '\x80': () => this.#take(1),
    '\x95': () => this.#take(8),
    '(': () => this.#stack.push(MARK),
    0: () => this.#pop(),
    q: () => this.#memo.set(this.#byte(), this.#top()),
    r: () => this.#memo.set(this.#uint32(), this.#top()),
    '\x94': () => this.#memo.set(this.#memo.size, this.#top()),
    h: () => this.#recall(this.#byte()),
    j: () => this.#recall(this.#uint32()),
    // Numbers and texts.
    N: () => this.#stack.push(null),
    '\x88': () => this.#stack.push(true),
    '\x89': () => this.#stack.push(false),
    K: () => this.#stack.push(this.#byte()),
    M: () => this.#stack.push(this.#take(2).readUInt16LE()),
    J: () => this.#stack.push(this.#take(4).readInt32LE()),
    '\x8a': () => this.#stack.push(this.#long()),
    G: () => this.#stack.push(this.#take(8).readDoubleBE()),
    '\x8c': () => this.#stack.push(this.#take(this.#byte()).toString()),
    X: () => this.#stack.push(this.#take(this.#uint32()).toString()),
    // Containers.
    '}': () => this.#stack.push(new Map()),
    ']': () => this.#stack.push([]),
    ')': () => this.#stack.push([]),
    t: () => this.#stack.push(this.#sinceMark()),
    '\x85': () => this.#stack.push(this.#last(1)),
    '\x86': () => this.#stack.push(this.#last(2)),
    '\x87': () => this.#stack.push(this.#last(3)),
    a: () => this.#append(this.#last(1)),
    e: () => this.#append(this.#sinceMark()),
    s: () => this.#set(this.#last(2)),
    u: () => this.#set(this.#sinceMark()),
    // A class is kept as its name; an object is a record of the attributes that BUILD sets.
    c: () => this.#stack.push(new PickledObject(`${this.#line()}.${this.#line()}`)),
    '\x93': () =>
      this.#stack.push(
        new PickledObject(
          this.#last(2)
            .map((name) => this.#text(name))
            .join('.'),
        ),
      ),
    '\x81': () => this.#makeObject(),
    b: () => this.#build(),
  }

  #makeObject(): void {
    const [named, values] = this.#last(2)
    if (!(named instanceof PickledObject) || !Array.isArray(values) || values.length > 0)
      throw this.#refuse('an object is made by running code')
    this.#stack.push(new PickledObject(named.className))
  }

  /** A list that holds one list many times, and that one another, would as a text take up all memory. */
  #text(value: Pickled): string {
    if (typeof value === 'string') return value
    throw this.#refuse('the name of a class is not a text')
  }

  #build(): void {
    const state = this.#pop()
    const target = this.#top()
    if (!(target instanceof PickledObject) || !(state instanceof Map))
      throw this.#refuse('an object has a state that is not a record')
    target.attributes = state
  }

  #append(items: readonly Pickled[]): void {
    const list = this.#top()
    if (!Array.isArray(list)) throw this.#refuse('a list is missing')
    for (const item of items) list.push(item)
  }

  #set(items: readonly Pickled[]): void {
    const record = this.#top()
    if (!(record instanceof Map)) throw this.#refuse('a dictionary is missing')
    for (let at = 0; at + 1 < items.length; at += 2) record.set(items[at]!, items[at + 1]!)
  }

  #pop(): Pickled {
    const item = this.#stack.pop()
    if (item === undefined || item === MARK) throw this.#refuse('a value is missing')
    return item
  }

  #top(): Item {
    const item = this.#stack.at(-1)
    if (item === undefined) throw this.#refuse('a value is missing')
    return item
  }

  #last(count: number): Pickled[] {
    return Array.from({ length: count }, () => this.#pop()).reverse()
  }

  #sinceMark(): Pickled[] {
    const mark = this.#stack.lastIndexOf(MARK)
    if (mark < 0) throw this.#refuse('a mark is missing')
    return this.#stack.splice(mark).slice(1) as Pickled[]
  }

  #recall(key: number): void {
    const item = this.#memo.get(key)
    if (item === undefined) throw this.#refuse(`it refers to the value ${key}, which was not stored`)
    this.#stack.push(item)
  }

  #byte(): number {
    return this.#take(1).readUInt8()
  }

  #uint32(): number {
    return this.#take(4).readUInt32LE()
  }

  /** Little-endian two's complement. */
  #long(): number {
    const bytes = this.#take(this.#byte())
    const value = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0)
    return (bytes.at(-1) ?? 0) >= 128 ? value - 256 ** bytes.length : value
  }

  #line(): string {
    const end = this.#bytes.indexOf('\n', this.#at)
    if (end < 0) throw this.#refuse('it is cut short')
    const text = this.#take(end - this.#at).toString('latin1')
    this.#at += 1
    return text
  }

  #take(length: number): Buffer {
    const from = this.#at
    if (from + length > this.#bytes.length) throw this.#refuse('it is cut short')
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }

  #refuse(reason: string): ScissionError {
    const message = `${this.#file} is not a pickle of the original's data: ${reason} (byte ${this.#at})`
    return new ScissionError('badRequest', message, { file: this.#file })
  }
}
