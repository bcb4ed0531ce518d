/** Formats plans as the original prints them: one line each, times in s and sizes in MB (10^6 bytes) with four decimals. */
import type { Block, Tier } from './data.ts'
import { roundHalfEven } from './import.ts'

export interface PrintedStage {
  tier: Tier
  /** The machine's name in the original's data. */
  name: string
  /** Blocks from..to-1. */
  from: number
  to: number
}

/** @param uploadBytes bytes sent by the device and by the edge together. */
export function resultLine(
  seconds: number,
  uploadBytes: number,
  device: string,
  stages: readonly PrintedStage[],
  blocks: readonly Block[],
): string {
  const part = (tier: Tier, label: string) => {
    const stage = stages.find((one) => one.tier === tier)
    const name = tier === 'device' ? device : (stage?.name ?? 'None')
    const layers = stage ? `${blocks[stage.from]!.first} - ${blocks[stage.to - 1]!.last}` : '-1 - -1'
    return `${label}(${name}) = ${layers}`
  }
  const placement = [part('device', 'Device'), part('edge', 'Edge'), part('cloud', 'Cloud')].join(', ')
  return `${fourDecimals(seconds)}s - ${fourDecimals(uploadBytes / 1000 / 1000)}MB - ${placement}`
}

/** Rounds as Python does: to the nearest value, and to the even digit if two are equally near. */
export function fourDecimals(value: number): string {
  // Half a unit of the fourth decimal is a binary fraction only in odd multiples of 1/32.
  const halves = value * 32
  if (!Number.isInteger(halves) || halves % 2 === 0) return value.toFixed(4)
  return (roundHalfEven(value * 1e4) / 1e4).toFixed(4)
}

/** `[+] 5 systems loaded : 1 device, 2 edge, 2 cloud`. */
export function loadedLine(systems: readonly { tier: Tier }[]): string {
  const count = (tier: Tier) => systems.filter((one) => one.tier === tier).length
  return `[+] ${systems.length} systems loaded : ${count('device')} device, ${count('edge')} edge, ${count('cloud')} cloud`
}

export const NO_RESULTS = 'No results for the specified configuration'
