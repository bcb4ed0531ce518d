/**
 * External data: references from a tensor to bytes in a file.
 *
 * Models are not trusted: a location must stay inside the model's own folder (no absolute path, no `..`, no symbolic link
 * out of it), and the bytes must exist. Source: ONNX external data,
 * https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
 */
import fs from 'node:fs'
import path from 'node:path'
import { unsafeLocation } from '../../contracts/file-names.ts'
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
 * Checks the text of a location only: `ExternalFiles` checks links.
 * @throws ScissionError invalidModel if it is not a name in the model's folder.
 */
export function refuseUnsafeLocation(tensor: TensorProto, location: string): void {
  const why = unsafeLocation(location)
  if (why !== undefined)
    throw refuse(tensor, `has the location ${JSON.stringify(location)}, which ${why}`, { location })
}

/** The external files of one model folder. Each file is checked once; references are compared with its size. */
export class ExternalFiles {
  readonly dir: string
  readonly #sizes = new Map<string, number>()

  constructor(dir: string) {
    this.dir = dir
  }

  /** Checks the reference of `tensor`, which needs `needed` bytes. @throws ScissionError invalidModel */
  check(tensor: TensorProto, needed: number): void {
    const { location, offset, length = needed, encoding } = referenceOf(tensor)
    const size = this.#sizes.get(location) ?? this.#open(tensor, location)
    if (offset > size || length > size - offset) {
      const reason = `reaches past the end of "${location}": bytes ${offset} to ${offset + length} of ${size}`
      throw refuse(tensor, reason, { location, offset, length, fileBytes: size })
    }
    if (encoding === 'raw' && length !== needed) {
      const reason = `is ${length} bytes long, its shape and type need ${needed}`
      throw refuse(tensor, reason, { location, length, needed })
    }
  }

  #open(tensor: TensorProto, location: string): number {
    refuseUnsafeLocation(tensor, location)
    const file = path.join(this.dir, location)
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    if (!stat?.isFile()) {
      const reason = `is in the file "${location}", which is missing: upload it with the model`
      throw refuse(tensor, reason, { location, missing: location })
    }
    const inside = path.relative(fs.realpathSync(this.dir), fs.realpathSync(file))
    if (inside.startsWith('..') || path.isAbsolute(inside)) {
      const reason = `has the location "${location}", a link that leads out of the model's folder`
      throw refuse(tensor, reason, { location })
    }
    this.#sizes.set(location, stat.size)
    return stat.size
  }
}
