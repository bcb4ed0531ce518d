/**
 * A secret of the settings: as a text, or in a file that may be replaced while the service runs. It never shows in a log, an
 * error or a listing: whatever prints it prints stars.
 */
import { inspect } from 'node:util'
import { coerceError } from '../errors.ts'
import { fileStamp } from './file-stamp.ts'
import { readSecretFile } from './secret-file.ts'

const HIDDEN = '***'
/** A file is looked at for changes this often. */
const LOOK_MS = 2000

export class Secret {
  readonly #text: string
  readonly #file: string | undefined
  readonly #setting: string
  #last: string

  /** @param file from which the text was read. */
  constructor(setting: string, text: string, file?: string) {
    this.#setting = setting
    this.#text = text
    this.#last = text
    this.#file = file
  }

  /** @returns undefined if neither is given. @throws ScissionError badRequest if the file cannot be used. */
  static from(setting: string, env: NodeJS.ProcessEnv): Secret | undefined {
    const file = env[`${setting}_FILE`]
    if (file) return new Secret(setting, readSecretFile(file, `${setting}_FILE`), file)
    const text = env[setting]
    return text ? new Secret(setting, text.trim()) : undefined
  }

  /** Names its place in errors. */
  get where(): string {
    return this.#file ?? this.#setting
  }

  /** Names its setting, and the file if it is in one. */
  get setting(): string {
    return this.#file === undefined ? this.#setting : `${this.#setting}_FILE (${this.#file})`
  }

  /** As it was when the service started. */
  get text(): string {
    return this.#text
  }

  /**
   * The text as it is now: for uses so rare that the file can be read for each.
   * @param onFault is told if it cannot be read: then what was read last counts.
   */
  now(onFault: (error: Error) => void): string {
    if (this.#file === undefined) return this.#text
    try {
      this.#last = readSecretFile(this.#file, `${this.#setting}_FILE`)
    } catch (thrown) {
      onFault(coerceError(thrown))
    }
    return this.#last
  }

  /**
   * What is made of the text, again whenever the file has changed.
   * @param make throws if the text is unusable: then what was made of the last usable one stays.
   * @param onFault is told, once for each change.
   */
  following<T>(make: (text: string) => T, onFault: (error: Error) => void): () => T {
    let made = make(this.#text)
    const file = this.#file
    if (file === undefined) return () => made
    let lookedAtMs = performance.now()
    let seen = fileStamp(file)
    return () => {
      if (performance.now() - lookedAtMs < LOOK_MS) return made
      lookedAtMs = performance.now()
      const stamp = fileStamp(file)
      if (stamp === seen) return made
      seen = stamp
      try {
        made = make(readSecretFile(file, `${this.#setting}_FILE`))
      } catch (thrown) {
        onFault(coerceError(thrown))
      }
      return made
    }
  }

  toString(): string {
    return HIDDEN
  }
  toJSON(): string {
    return HIDDEN
  }
  [inspect.custom](): string {
    return HIDDEN
  }
}
