/**
 * External data: references from a tensor to bytes in a file.
 *
 * Models are not trusted: a location must stay inside the model's own folder (no absolute path, no `..`, no symbolic link
 * out of it), and the bytes must exist. Source: ONNX external data,
 * https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
 */
import fs from 'node:fs'
import path from 'node:path'
import { ScissionError } from '../../platform/errors.ts'
import { type TensorProto, TensorProto_DataLocation as DataLocation } from '../proto/onnx_pb.ts'

export interface ExternalReference {
  /** Path relative to the model's folder, with `/`. */
  location: string
  offset: number
  /** Absent = computed from the tensor's shape and type. */
  length?: number
  /** `varint`: a packed integer payload inside an ONNX file; only the skeleton reader makes these. */
  encoding: 'raw' | 'varint'
}

export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === DataLocation.EXTERNAL
}

/** The reference of an external tensor. @throws ScissionError invalidModel if an entry is missing or not a number. */
export function referenceOf(tensor: TensorProto): ExternalReference {
  const entries = new Map(tensor.externalData.map((entry) => [entry.key, entry.value]))
  const location = entries.get('location')
  if (!location) throw refuse(tensor, 'names no location', {})
  const length = number(tensor, 'length', entries.get('length'))
  return {
    location,
    offset: number(tensor, 'offset', entries.get('offset')) ?? 0,
    ...(length === undefined ? {} : { length }),
    encoding: entries.get('encoding') === 'varint' ? 'varint' : 'raw',
  }
}

function number(tensor: TensorProto, key: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw refuse(tensor, `has the ${key} "${text}"`, { [key]: text })
  return value
}

function refuse(tensor: TensorProto, reason: string, details: Record<string, unknown>): ScissionError {
  return new ScissionError('invalidModel', `external data of tensor "${tensor.name}" ${reason}`, {
    tensor: tensor.name,
    ...details,
  })
}

/**
 * The reason why a location is refused, or undefined. Checks the text only: `ExternalFiles` checks links.
 * Backslashes are refused because they are separators on Windows, for ONNX Runtime too.
 */
export function unsafeLocation(location: string): string | undefined {
  if (location === '' || location.includes('\0')) return 'is not a file name'
  if (path.isAbsolute(location) || /^[A-Za-z]:/.test(location)) return 'is an absolute path'
  if (location.includes('\\')) return 'contains a backslash'
  if (location.split('/').includes('..')) return "leads out of the model's folder"
  return undefined
}

/** The external files of one model folder. Each file is checked once; references are compared with its size. */
export class ExternalFiles {
  readonly dir: string
  readonly #sizes = new Map<string, number>()

  constructor(dir: string) {
    this.dir = dir
  }

  /** Checks the reference of `tensor`, which needs `needed` bytes. @throws ScissionError invalidModel */
  check(tensor: TensorProto, needed: number): ExternalReference & { length: number } {
    const reference = referenceOf(tensor)
    const { location, offset } = reference
    const size = this.#sizes.get(location) ?? this.#open(tensor, location)
    const length = reference.length ?? needed
    if (offset > size || length > size - offset) {
      throw refuse(
        tensor,
        `reaches past the end of "${location}": bytes ${offset} to ${offset + length} of ${size}`,
        { location, offset, length, fileBytes: size },
      )
    }
    if (reference.encoding === 'raw' && length !== needed) {
      throw refuse(tensor, `is ${length} bytes long, its shape and type need ${needed}`, {
        location,
        length,
        needed,
      })
    }
    return { ...reference, length }
  }

  #open(tensor: TensorProto, location: string): number {
    const unsafe = unsafeLocation(location)
    if (unsafe) throw refuse(tensor, `has the location "${location}", which ${unsafe}`, { location })
    const file = path.join(this.dir, location)
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    if (!stat?.isFile()) {
      throw refuse(tensor, `is in the file "${location}", which is missing: upload it with the model`, {
        location,
        missing: location,
      })
    }
    const inside = path.relative(fs.realpathSync(this.dir), fs.realpathSync(file))
    if (inside.startsWith('..') || path.isAbsolute(inside)) {
      throw refuse(tensor, `has the location "${location}", a link that leads out of the model's folder`, {
        location,
      })
    }
    this.#sizes.set(location, stat.size)
    return stat.size
  }
}
