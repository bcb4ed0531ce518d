/** Which elements share one scale: all of a tensor, or those of one channel (axis 1). */

export interface Channels {
  /** Scales. */
  count: number
  /** Neighbouring elements of one channel; channel of element i = ⌊i / run⌋ mod count. */
  run: number
}

/** With fewer elements per channel the scales would cost more than they save: then the tensor has one. */
const LEAST_RUN = 32

/**
 * @param elements the product of `shape`.
 * @returns one channel for tensors without axis 1 or with channels of fewer than LEAST_RUN elements.
 */
export function channelsOf(shape: readonly number[], elements: number, perChannel: boolean): Channels {
  const whole = { count: 1, run: Math.max(1, elements) }
  const count = shape[1] ?? 0
  if (!perChannel || count < 2 || elements === 0) return whole
  const run = shape.slice(2).reduce((product, dim) => product * dim, 1)
  return run < LEAST_RUN ? whole : { count, run }
}

/** Calls `visit` for each stretch of elements of one channel in [start, end), in order. */
export function forEachStretch(
  { count, run }: Channels,
  start: number,
  end: number,
  visit: (channel: number, from: number, to: number) => void,
): void {
  for (let from = start; from < end; ) {
    const block = Math.floor(from / run)
    const to = Math.min(end, (block + 1) * run)
    visit(block % count, from, to)
    from = to
  }
}
