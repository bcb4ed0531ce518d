/** Codec names: parse and write. The grammar is part of the contract (`CodecName` in shared/contracts). */
import { CodecName } from '../contracts/calibration.ts'
import { ScissionError } from '../platform/errors.ts'

export const BIT_WIDTHS = [8, 6, 4, 2] as const
export type Bits = (typeof BIT_WIDTHS)[number]

export interface Codec {
  name: CodecName
  /** The lossy part, which applies to fp32 elements. */
  lossy: { kind: 'none' } | { kind: 'half' } | { kind: 'linear'; bits: Bits; perChannel: boolean }
  /** The lossless compression of the bytes that the lossy part leaves. */
  entropy: 'none' | 'zstd'
}

/**
 * The parts that a codec's name stands for.
 * @throws ScissionError badRequest for an unknown name; the message states the grammar.
 * @example
 * parseCodec('q4c-zstd')
 * // { name: 'q4c-zstd', lossy: { kind: 'linear', bits: 4, perChannel: true }, entropy: 'zstd' }
 */
export function parseCodec(text: string): Codec {
  const parsed = CodecName.safeParse(text)
  if (!parsed.success) {
    const shown = text.slice(0, 40)
    throw new ScissionError('badRequest', `unknown codec "${shown}": ${parsed.error.issues[0]?.message}`, {
      codec: shown,
    })
  }
  const name = parsed.data
  const entropy = name.endsWith('zstd') ? 'zstd' : 'none'
  return { name, lossy: lossyOf(name.replace(/-?zstd$/, '')), entropy }
}

function lossyOf(text: string): Codec['lossy'] {
  if (text === '' || text === 'none') return { kind: 'none' }
  if (text === 'fp16') return { kind: 'half' }
  const bits = BIT_WIDTHS.find((width) => text.startsWith(`q${width}`)) ?? 8
  return { kind: 'linear', bits, perChannel: text.endsWith('c') }
}

/**
 * The name of a codec with these parts.
 * @example
 * codecName({ kind: 'linear', bits: 8, perChannel: false }, 'zstd') // 'q8-zstd'
 * codecName({ kind: 'none' }, 'none') // 'none'
 */
export function codecName(lossy: Codec['lossy'], entropy: Codec['entropy']): CodecName {
  const first =
    lossy.kind === 'half'
      ? 'fp16'
      : lossy.kind === 'linear'
        ? `q${lossy.bits}${lossy.perChannel ? 'c' : ''}`
        : ''
  const parts = [first, entropy === 'none' ? '' : entropy].filter(Boolean)
  return parts.length === 0 ? 'none' : parts.join('-')
}

/**
 * True if decoding restores every tensor bit by bit.
 * @throws ScissionError badRequest for an unknown name.
 * @example
 * losesNothing('zstd') // true
 * losesNothing('q8-zstd') // false
 */
export const losesNothing = (name: CodecName): boolean => parseCodec(name).lossy.kind === 'none'
