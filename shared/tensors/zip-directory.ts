/**
 * The directory of a zip archive, as far as NumPy's archives need it: where the bytes of each file are, checked before any is
 * unpacked. The archive comes from clients: files that overlap are refused, because a small archive could have the same packed
 * bytes unpacked any number of times.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3: the records; 4.5.3: sizes of 64 bits)
 */

export interface ZipEntry {
  name: string
  isPacked: boolean
  packed: Uint8Array
  /** Bytes of the file, as the directory says. */
  size: number
  crc: number
}

/** An archive of more files takes long to read, whatever is in them. */
const MAX_FILES = 10_000

const END = 0x06_05_4b_50
const END_BYTES = 22
const MAX_COMMENT = 0xff_ff
const LOCATOR_64 = 0x07_06_4b_50
const LOCATOR_64_BYTES = 20
const END_64 = 0x06_06_4b_50
const END_64_BYTES = 56
const ENTRY = 0x02_01_4b_50
const ENTRY_BYTES = 46
const LOCAL = 0x04_03_4b_50
const LOCAL_BYTES = 30
/** Where a number does not fit into 32 bits, this stands for it, and it follows with 64. */
const IN_64 = 0xff_ff_ff_ff
const SIZES_64 = 1

type Refuse = (why: string) => Error

interface Directory {
  count: number
  at: number
  end: number
}

/**
 * @param refuse makes the error of an archive that cannot be read.
 * @returns the files in the order of the directory, without folders.
 */
export function zipEntries(bytes: Uint8Array, refuse: Refuse): ZipEntry[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    return new ZipDirectory(file, refuse).entries()
  } catch (thrown) {
    if (thrown instanceof RangeError) throw refuse('the .npz file is damaged: a record in it is cut off')
    throw thrown
  }
}

class ZipDirectory {
  readonly #file: Buffer
  readonly #refuse: Refuse

  constructor(file: Buffer, refuse: Refuse) {
    this.#file = file
    this.#refuse = refuse
  }

  entries(): ZipEntry[] {
    const { count, at: start, end } = this.#directory()
    if (count > MAX_FILES) throw this.#refuse(`it holds ${count} files, at most ${MAX_FILES} are read`)
    const entries: ZipEntry[] = []
    const places: { from: number; to: number; name: string }[] = []
    let at = start
    for (let index = 0; index < count; index += 1) {
      if (this.#file.readUInt32LE(at) !== ENTRY)
        throw this.#damaged(`entry ${index} of its directory is none`)
      const { entry, from, next } = this.#entry(at)
      if (next > end) throw this.#damaged('its directory is longer than it says')
      const to = this.#place(entry, from, start)
      places.push({ from, to, name: entry.name })
      if (!entry.name.endsWith('/')) entries.push(entry)
      at = next
    }
    this.#refuseOverlaps(places)
    return entries
  }

  #directory(): Directory {
    const end = this.#end()
    const file = this.#file
    const count = file.readUInt16LE(end + 10)
    const bytes = file.readUInt32LE(end + 12)
    const at = file.readUInt32LE(end + 16)
    const found =
      count === 0xff_ff || bytes === IN_64 || at === IN_64
        ? this.#directory64(end)
        : { count, at, end: at + bytes }
    if (found.end > end) throw this.#damaged('its directory reaches beyond its end')
    return found
  }

  #directory64(end: number): Directory {
    const file = this.#file
    const locator = end - LOCATOR_64_BYTES
    if (locator < 0 || file.readUInt32LE(locator) !== LOCATOR_64)
      throw this.#damaged('the record of its 64-bit sizes is missing')
    const record = this.#long(locator + 8)
    if (record + END_64_BYTES > locator || file.readUInt32LE(record) !== END_64)
      throw this.#damaged('the record of its 64-bit sizes is not where it should be')
    const at = this.#long(record + 48)
    return { count: this.#long(record + 32), at, end: at + this.#long(record + 40) }
  }

  /** Offset of the record at the end, which a comment may follow. */
  #end(): number {
    const file = this.#file
    const first = Math.max(0, file.length - END_BYTES - MAX_COMMENT)
    for (let at = file.length - END_BYTES; at >= first; at -= 1)
      if (file.readUInt32LE(at) === END && at + END_BYTES + file.readUInt16LE(at + 20) === file.length)
        return at
    throw this.#damaged('it has no directory')
  }

  /** @returns the entry without its bytes, the place of its header, and that of the next entry. */
  #entry(at: number): { entry: ZipEntry; from: number; next: number } {
    const file = this.#file
    const nameEnd = at + ENTRY_BYTES + file.readUInt16LE(at + 28)
    const extraEnd = nameEnd + file.readUInt16LE(at + 30)
    if (extraEnd > file.length) throw this.#damaged('a name in its directory is cut off')
    const name = file.toString('utf8', at + ENTRY_BYTES, nameEnd)
    const method = file.readUInt16LE(at + 10)
    if ((file.readUInt16LE(at + 8) & 1) !== 0) throw this.#refuse(`${name} is encrypted`)
    if (method !== 0 && method !== 8)
      throw this.#refuse(`${name} is packed by method ${method}; save with numpy.savez`)
    const longs = this.#longsOf(nameEnd, extraEnd)
    const value = (place: number) => {
      const short = file.readUInt32LE(place)
      return short === IN_64 ? (longs.shift() ?? short) : short
    }
    // In the order in which the 64-bit numbers stand.
    const size = value(at + 24)
    const packedSize = value(at + 20)
    const from = value(at + 42)
    if (method === 0 && size !== packedSize)
      throw this.#damaged(`${name} is not packed, and has ${size} bytes in ${packedSize}`)
    if (from + packedSize > file.length) throw this.#damaged(`${name} reaches beyond its end`)
    const packed = new Uint8Array(file.buffer, file.byteOffset, packedSize)
    const entry = { name, isPacked: method === 8, packed, size, crc: file.readUInt32LE(at + 16) }
    return { entry, from, next: extraEnd + file.readUInt16LE(at + 32) }
  }

  /** Finds the bytes of an entry behind its header. @returns where they end. */
  #place(entry: ZipEntry, from: number, directory: number): number {
    const file = this.#file
    if (file.readUInt32LE(from) !== LOCAL)
      throw this.#damaged(`${entry.name} is not where its directory says`)
    const start = from + LOCAL_BYTES + file.readUInt16LE(from + 26) + file.readUInt16LE(from + 28)
    const to = start + entry.packed.byteLength
    if (to > directory) throw this.#damaged(`${entry.name} reaches into its directory`)
    entry.packed = new Uint8Array(file.buffer, file.byteOffset + start, entry.packed.byteLength)
    return to
  }

  #longsOf(from: number, to: number): number[] {
    const file = this.#file
    for (let at = from; at + 4 <= to; at += 4 + file.readUInt16LE(at + 2)) {
      if (file.readUInt16LE(at) !== SIZES_64) continue
      const count = Math.floor(Math.min(file.readUInt16LE(at + 2), to - at - 4) / 8)
      return Array.from({ length: count }, (_, index) => this.#long(at + 4 + index * 8))
    }
    return []
  }

  #long(at: number): number {
    const value = Number(this.#file.readBigUInt64LE(at))
    if (value > this.#file.length * 2000) throw this.#damaged('it says sizes that cannot be')
    return value
  }

  #refuseOverlaps(places: { from: number; to: number; name: string }[]): void {
    const sorted = places.toSorted((a, b) => a.from - b.from)
    for (const [index, { from, name }] of sorted.entries()) {
      const before = sorted[index - 1]
      if (before && before.to > from)
        throw this.#refuse(`${before.name} and ${name} share bytes of the archive`)
    }
  }

  #damaged(why: string): Error {
    return this.#refuse(`the .npz file is damaged: ${why}`)
  }
}
