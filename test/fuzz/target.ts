/** What is fuzzed, the law that it keeps, and how its inputs are made. */
import { ScissionError } from '../../shared/platform/errors.ts'
import { drawFrom } from './draw.ts'
import { mutate } from './mutate.ts'
import { mutateJson } from './mutate-json.ts'

export interface OpenTarget {
  /** Valid inputs. */
  seeds: readonly Uint8Array[]
  /** @throws what breaks the law. It may take `deadlineMs` of its target. */
  run: (input: Uint8Array) => Promise<void> | void
  close?: () => Promise<void>
}

export interface Target {
  name: string
  /** Inputs of a hundred in `npm run bench -- fuzz`. */
  share: number
  /** Inputs in `npm test`. */
  sample: number
  /** No input takes longer, whatever else the machine does. */
  deadlineMs: number
  /** No more memory is resident after all inputs than before, but for this. */
  growthBytes: number
  /** The first line says where the rest goes: it is damaged seldom, and apart. */
  firstLine?: boolean
  open: () => Promise<OpenTarget> | OpenTarget
}

/** Of a target that waits for nobody. */
export const PURE = { deadlineMs: 5000, growthBytes: 400 * 2 ** 20 } as const

const UNTOUCHED = 0.02
const OF_JSON = 0.6
const FIRST_LINE = 0.15
const LINE_END = '\n'.charCodeAt(0)

/** The input of a number. One in fifty is a seed as it is. */
export function inputOf(
  { firstLine = false }: Pick<Target, 'firstLine'>,
  seeds: readonly Uint8Array[],
  seed: number,
): Buffer {
  const draw = drawFrom(seed)
  const chosen = draw.pick(seeds)
  if (draw.chance(UNTOUCHED)) return Buffer.from(chosen)
  const cut = firstLine ? chosen.indexOf(LINE_END) + 1 : 0
  const head = chosen.subarray(0, cut)
  const rest = chosen.subarray(cut)
  if (firstLine && (rest.length === 0 || draw.chance(FIRST_LINE)))
    return Buffer.concat([
      mutate(head.subarray(0, -1), draw, [head]).filter((byte) => byte !== LINE_END),
      Buffer.from('\n'),
      rest,
    ])
  const json = draw.chance(OF_JSON) ? mutateJson(rest, draw) : undefined
  return Buffer.concat([head, json ?? mutate(rest, draw, seeds)])
}

/** For code that refuses by throwing: anything but a refusal of ours, with a status that blames the sender, is thrown again. */
export function refusing(work: () => unknown): void {
  try {
    work()
  } catch (thrown) {
    allowed(thrown)
  }
}

/** @throws what is no refusal. */
export function allowed(thrown: unknown): void {
  if (!(thrown instanceof ScissionError) || thrown.code === 'internal') throw thrown
}

export const text = (of: unknown): Buffer => Buffer.from(typeof of === 'string' ? of : JSON.stringify(of))
