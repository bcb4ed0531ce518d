/** What a codec's name says. The grammar is the contract's (shared/contracts/calibration.ts). */
import { CodecName } from '../contracts/calibration.ts'
import { ScissionError } from '../platform/errors.ts'

export const BIT_WIDTHS = [8, 6, 4, 2] as const
export type Bits = (typeof BIT_WIDTHS)[number]

export interface Codec {
  name: CodecName
  /** What it makes of fp32 elements. */
  lossy: { kind: 'none' } | { kind: 'half' } | { kind: 'linear'; bits: Bits; perChannel: boolean }
  /** What packs the bytes after that. */
  entropy: 'none' | 'zstd' | 'lz4'
}

/** @throws ScissionError badRequest naming the grammar. */
export function parseCodec(text: string): Codec {
  const name = CodecName.safeParse(text)
  if (!name.success) {
    throw new ScissionError(
      'badRequest',
      `unknown codec "${text.slice(0, 40)}": ${name.error.issues[0]?.message}`,
      {
        codec: text.slice(0, 40),
      },
    )
  }
  const [first = 'none', second] = name.data.split('-')
  if (first === 'zstd' || first === 'lz4') return { name: name.data, lossy: { kind: 'none' }, entropy: first }
  const entropy = second === 'zstd' || second === 'lz4' ? second : 'none'
  return { name: name.data, lossy: lossyOf(first), entropy }
}

function lossyOf(text: string): Codec['lossy'] {
  if (text === 'none') return { kind: 'none' }
  if (text === 'fp16') return { kind: 'half' }
  const bits = BIT_WIDTHS.find((width) => text.startsWith(`q${width}`)) ?? 8
  return { kind: 'linear', bits, perChannel: text.endsWith('c') }
}

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

/** Gives back what it was given, bit by bit, whatever the tensor. */
export const losesNothing = (name: CodecName): boolean => parseCodec(name).lossy.kind === 'none'
