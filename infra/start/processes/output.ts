/**
 * Collects the output of a child process: writes every line to a log file with the child's name, and keeps the last lines
 * for error messages.
 */
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Logger } from '../../../shared/platform/log.ts'

const MAX_LINE_COUNT = 20
/** Kept lines are cut to this length for error messages; the file has them whole. */
const MAX_CHARACTER_COUNT = 1000

export class Output {
  readonly #name: string
  readonly #file: WriteStream | undefined
  readonly #last: string[] = []

  constructor(name: string, file: string | undefined, log: Logger) {
    this.#name = name
    if (file === undefined) return
    mkdirSync(path.dirname(file), { recursive: true })
    this.#file = createWriteStream(file, { flags: 'a' })
    this.#file.on('error', (error) => log.warn({ err: error, file }, `${name}: its output is not being kept`))
  }

  read(stream: Readable): void {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) =>
      this.#take(line),
    )
  }

  /** The last lines of output, oldest first. */
  lastLines(): string[] {
    return [...this.#last]
  }

  close(): void {
    this.#file?.end()
  }

  #take(line: string): void {
    this.#last.push(line.slice(0, MAX_CHARACTER_COUNT))
    if (this.#last.length > MAX_LINE_COUNT) this.#last.shift()
    if (this.#file?.writable) this.#file.write(`${this.#name} | ${line}\n`)
  }
}
