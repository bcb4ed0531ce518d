/**
 * The files of a zip archive, as far as NumPy's archives need them: where the bytes of each are, before any is unpacked. yauzl
 * reads the records and checks that they are whole. The archive comes from clients, so what yauzl leaves to its user is checked
 * here: how many files there are, how they are packed, and that no two overlap, because a small archive could have the same packed
 * bytes unpacked any number of times.
 */
import { Readable } from 'node:stream'
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { coerceError, type ScissionError } from '../platform/errors.ts'
import { turnEvery } from '../platform/turns.ts'

export interface ZipEntry {
  name: string
  isPacked: boolean
  packed: Uint8Array
  /** Bytes of the file, as the directory says. */
  size: number
  crc: number
}

export type Refuse = (why: string) => ScissionError

/** An archive of more files takes long to read, whatever is in them. */
const MAX_FILES = 10_000
/** Bytes of the directory that are read in one go, which takes some milliseconds. */
const PIECE_BYTES = 32 * 1024
/** Of an entry of the directory, in front of its name. */
const ENTRY_BYTES = 46
const DEFLATED = 8

const OPTIONS = {
  // yauzl takes names for those of files: it refuses `/` at their beginning, which tensors have, and turns `\` into `/`.
  decodeStrings: false,
  // It would not say which file is wrong.
  validateEntrySizes: false,
  autoClose: false,
}

interface Place {
  entry: ZipEntry
  from: number
  to: number
}

/**
 * @param refuse makes the error of an archive that cannot be read.
 * @returns the files in the order of the directory, without folders. Their packed bytes are those of the archive, not copies.
 */
export async function zipEntries(bytes: Uint8Array, refuse: Refuse): Promise<ZipEntry[]> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const zip = await orRefuse(
    () => fromRandomAccessReaderPromise(new MemoryReader(file), file.length, OPTIONS),
    refuse,
    'its directory',
  )
  if (zip.entryCount > MAX_FILES)
    throw refuse(`it holds ${zip.entryCount} files, at most ${MAX_FILES} are read`)
  const places: Place[] = []
  const pieceDone = turnEvery(PIECE_BYTES)
  const entries = zip.eachEntry()
  const next = () => orRefuse(() => entries.next(), refuse, `entry ${places.length} of its directory`)
  for (let found = await next(); found.done !== true; found = await next()) {
    const entry = found.value
    places.push(await placeOf(zip, entry, file, refuse))
    const { fileNameLength, extraFieldLength, fileCommentLength } = entry
    await pieceDone(ENTRY_BYTES + fileNameLength + extraFieldLength + fileCommentLength)
  }
  refuseOverlaps(places, refuse)
  return places.map(({ entry }) => entry).filter(({ name }) => !name.endsWith('/'))
}

async function orRefuse<T>(reading: () => Promise<T>, refuse: Refuse, what: string): Promise<T> {
  try {
    return await reading()
  } catch (thrown) {
    const why = coerceError(thrown).message.replace(/\.$/, '')
    throw refuse(`the .npz file cannot be read: ${what}: ${why}; save it again with numpy.savez`)
  }
}

async function placeOf(zip: ZipFile, entry: Entry, file: Buffer, refuse: Refuse): Promise<Place> {
  const { compressionMethod: method, compressedSize, uncompressedSize: size, crc32: crc } = entry
  const name = entry.fileNameRaw.toString('utf8')
  if (entry.isEncrypted()) throw refuse(`${name} is encrypted`)
  if (method !== 0 && method !== DEFLATED)
    throw refuse(`${name} is packed by method ${method}; save with numpy.savez`)
  if (method === 0 && size !== compressedSize)
    throw refuse(
      `the .npz file is damaged: ${name} is not packed, and has ${size} bytes in ${compressedSize}`,
    )
  const { fileDataStart: start } = await orRefuse(
    () => zip.readLocalFileHeaderPromise(entry, { minimal: true }),
    refuse,
    name,
  )
  const packed = new Uint8Array(file.buffer, file.byteOffset + start, compressedSize)
  return {
    entry: { name, isPacked: method === DEFLATED, packed, size, crc },
    from: entry.relativeOffsetOfLocalHeader,
    to: start + compressedSize,
  }
}

function refuseOverlaps(places: readonly Place[], refuse: Refuse): void {
  const sorted = places.toSorted((a, b) => a.from - b.from)
  for (const [index, { from, entry }] of sorted.entries()) {
    const before = sorted[index - 1]
    if (before && before.to > from)
      throw refuse(`${before.entry.name} and ${entry.name} share bytes of the archive`)
  }
}

/**
 * Memory that yauzl reads, without its detour over the event loop for each record: 10,000 files would wait for 30,000 turns, and
 * what is thrown while a record is read would have nobody to catch it.
 */
class MemoryReader extends RandomAccessReader {
  readonly #file: Buffer

  constructor(file: Buffer) {
    super()
    this.#file = file
  }

  override read(
    into: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, read: number) => void,
  ): void {
    const found = this.#file.subarray(position, position + length)
    callback(null, found.copy(into, offset))
  }

  /** yauzl asks for it; nothing here opens a stream: of tiny files each would take 0.1 ms, and large ones would take longer. */
  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from([this.#file.subarray(start, end)])
  }
}
