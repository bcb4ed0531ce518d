/**
 * Reads the original's `.dat` files: Python pickles (protocols 2 to 4) of dictionaries, lists, numbers and strings, and of
 * plain objects with such attributes. It never calls or imports anything: an object of any class becomes a record of its
 * attributes, and a pickle that would need code to run is refused.
 */
import { ScissionError } from '../platform/errors.ts'

export type Pickled =
  | null
  | boolean
  | number
  | string
  | Pickled[]
  | Map<Pickled, Pickled>
  | PickledObject
  | Uint8Array

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
  const machine = new Machine(bytes, file)
  try {
    return machine.run()
  } catch (error) {
    if (error instanceof RangeError) throw machine.refuse('it is cut short')
    throw error
  }
}

class Machine {
  readonly #view: DataView
  readonly #file: string
  readonly #stack: Item[] = []
  readonly #memo = new Map<number, Item>()
  #at = 0

  constructor(bytes: Uint8Array, file: string) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#file = file
  }

  run(): Pickled {
    for (;;) {
      const opcode = String.fromCharCode(this.#byte())
      if (opcode === '.') return this.#pop()
      if (!this.#step(opcode)) throw this.refuse(`it holds the instruction ${JSON.stringify(opcode)}`)
    }
  }

  refuse(reason: string): ScissionError {
    const message = `${this.#file} is not a pickle of the original's data: ${reason} (byte ${this.#at})`
    return new ScissionError('badRequest', message, { file: this.#file })
  }

  /** Executes one instruction; false for an instruction that is not supported. */
  #step(opcode: string): boolean {
    return this.#frame(opcode) || this.#value(opcode) || this.#container(opcode) || this.#object(opcode)
  }

  /** Protocol, frames, marks and the memo. */
  #frame(opcode: string): boolean {
    const stack = this.#stack
    if (opcode === '\x80') this.#byte()
    else if (opcode === '\x95') this.#at += 8
    else if (opcode === '(') stack.push(MARK)
    else if (opcode === '0') this.#pop()
    else if (opcode === 'q') this.#memo.set(this.#byte(), this.#top())
    else if (opcode === 'r') this.#memo.set(this.#uint32(), this.#top())
    else if (opcode === '\x94') this.#memo.set(this.#memo.size, this.#top())
    else if (opcode === 'h') stack.push(this.#recall(this.#byte()))
    else if (opcode === 'j') stack.push(this.#recall(this.#uint32()))
    else return false
    return true
  }

  /** Numbers and texts. */
  #value(opcode: string): boolean {
    const stack = this.#stack
    if (opcode === 'N') stack.push(null)
    else if (opcode === '\x88') stack.push(true)
    else if (opcode === '\x89') stack.push(false)
    else if (opcode === 'K') stack.push(this.#byte())
    else if (opcode === 'M') stack.push(this.#byte() + 256 * this.#byte())
    else if (opcode === 'J') stack.push(this.#uint32() | 0)
    else if (opcode === '\x8a') stack.push(this.#long(this.#byte()))
    else if (opcode === 'G') stack.push(this.#double())
    else if (opcode === '\x8c') stack.push(this.#text(this.#byte()))
    else if (opcode === 'X') stack.push(this.#text(this.#uint32()))
    else if (opcode === 'C') stack.push(this.#take(this.#byte()))
    else if (opcode === 'B') stack.push(this.#take(this.#uint32()))
    else return false
    return true
  }

  #container(opcode: string): boolean {
    const stack = this.#stack
    if (opcode === '}') stack.push(new Map())
    else if (opcode === ']' || opcode === ')') stack.push([])
    else if (opcode === 't') stack.push(this.#sinceMark())
    else if (opcode === '\x85' || opcode === '\x86' || opcode === '\x87')
      stack.push(this.#last(opcode.charCodeAt(0) - 0x84))
    else if (opcode === 'a') this.#append([this.#pop()])
    else if (opcode === 'e') this.#append(this.#sinceMark())
    else if (opcode === 's') this.#set(this.#last(2))
    else if (opcode === 'u') this.#set(this.#sinceMark())
    else return false
    return true
  }

  /** Instructions for objects. A class is kept as its name; an object is a record of the attributes that BUILD sets. */
  #object(opcode: string): boolean {
    if (opcode === 'c') this.#stack.push(new PickledObject(`${this.#line()}.${this.#line()}`))
    else if (opcode === '\x93') this.#stack.push(new PickledObject(this.#last(2).map(String).join('.')))
    else if (opcode === '\x81') {
      const [named, values] = this.#last(2)
      if (!(named instanceof PickledObject) || !Array.isArray(values) || values.length > 0)
        throw this.refuse('an object is made by running code')
      this.#stack.push(new PickledObject(named.className))
    } else if (opcode === 'b') {
      const state = this.#pop()
      const target = this.#top()
      if (!(target instanceof PickledObject) || !(state instanceof Map))
        throw this.refuse('an object has a state that is not a record')
      target.attributes = state
    } else return false
    return true
  }

  #append(items: readonly Pickled[]): void {
    const list = this.#top()
    if (!Array.isArray(list)) throw this.refuse('a list is missing')
    list.push(...items)
  }

  #set(items: readonly Pickled[]): void {
    const record = this.#top()
    if (!(record instanceof Map)) throw this.refuse('a dictionary is missing')
    for (let at = 0; at + 1 < items.length; at += 2) record.set(items[at]!, items[at + 1]!)
  }

  #pop(): Pickled {
    const item = this.#stack.pop()
    if (item === undefined || item === MARK) throw this.refuse('a value is missing')
    return item
  }

  #top(): Item {
    const item = this.#stack.at(-1)
    if (item === undefined) throw this.refuse('a value is missing')
    return item
  }

  #last(count: number): Pickled[] {
    return Array.from({ length: count }, () => this.#pop()).reverse()
  }

  #sinceMark(): Pickled[] {
    const mark = this.#stack.lastIndexOf(MARK)
    if (mark < 0) throw this.refuse('a mark is missing')
    return this.#stack.splice(mark).slice(1) as Pickled[]
  }

  #recall(key: number): Item {
    const item = this.#memo.get(key)
    if (item === undefined) throw this.refuse(`it refers to the value ${key}, which was not stored`)
    return item
  }

  #byte(): number {
    return this.#view.getUint8(this.#advance(1))
  }

  #uint32(): number {
    return this.#view.getUint32(this.#advance(4), true)
  }

  #double(): number {
    return this.#view.getFloat64(this.#advance(8))
  }

  /** Little-endian two's complement. */
  #long(length: number): number {
    const bytes = this.#take(length)
    let value = 0
    for (let at = length - 1; at >= 0; at -= 1) value = value * 256 + bytes[at]!
    return length > 0 && bytes[length - 1]! >= 128 ? value - 256 ** length : value
  }

  #text(length: number): string {
    return new TextDecoder('utf-8', { fatal: false }).decode(this.#take(length))
  }

  #line(): string {
    let text = ''
    for (let code = this.#byte(); code !== 10; code = this.#byte()) text += String.fromCharCode(code)
    return text
  }

  #take(length: number): Uint8Array {
    const from = this.#advance(length)
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + from, length)
  }

  #advance(length: number): number {
    const from = this.#at
    if (from + length > this.#view.byteLength) throw this.refuse('it is cut short')
    this.#at += length
    return from
  }
}
