/**
 * Access networks by name, for `--network`, testbed files and what-if plans. Figures are payload (not line) rates in
 * 10^6 bit/s and round trips in milliseconds, each with its source.
 */
import type { Link, LinkEmulation } from './resource.ts'

export interface NetworkPreset {
  readonly rttMs: number
  /** Towards the higher tier. */
  readonly upMbps: number
  readonly downMbps: number
  readonly source: string
}

const SYMMETRIC = 'the source gives one direction; the same rate is assumed for the other'

export const NETWORK_PRESETS = {
  '3g': {
    rttMs: 66.7,
    upMbps: 1.6,
    downMbps: 1.6,
    source: `measured device–edge link of Scission (UCC 2020), network_stats.csv; ${SYMMETRIC}`,
  },
  '4g': {
    rttMs: 50,
    upMbps: 5.85,
    downMbps: 5.85,
    source: `uplink from Hu et al., DADS (INFOCOM 2019); the RTT is our assumption; ${SYMMETRIC}`,
  },
  wifi: {
    rttMs: 10,
    upMbps: 18.88,
    downMbps: 18.88,
    source: `uplink from Hu et al., DADS (INFOCOM 2019); the RTT is our assumption; ${SYMMETRIC}`,
  },
  wired: {
    rttMs: 20,
    upMbps: 20,
    downMbps: 20,
    source: `measured device–edge link of Scission (UCC 2020), network_stats_wired.csv; ${SYMMETRIC}`,
  },
} as const satisfies Record<string, NetworkPreset>

export type NetworkName = keyof typeof NETWORK_PRESETS
export const NETWORK_NAMES = Object.keys(NETWORK_PRESETS) as readonly NetworkName[]

type PresetLink = Pick<Link, 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'source' | 'emulated'> &
  Partial<Pick<Link, 'jitterMs' | 'uncertainty' | 'basis' | 'emulation'>>

/** Returns the link as it would be on another access network. */
export function withPreset<L extends PresetLink>(link: L, network: NetworkName): L {
  const { rttMs, upMbps, downMbps } = NETWORK_PRESETS[network]
  return {
    ...asGiven(link),
    rttMs: rttMs + beyondAccessMs(link.emulation),
    bandwidthMbps: upMbps,
    returnBandwidthMbps: downMbps,
    source: 'preset',
  }
}

/** Given figures have no uncertainty, and no measurement behind them. */
export function asGiven<L extends PresetLink>(link: L): L {
  return { ...link, jitterMs: undefined, uncertainty: undefined, basis: undefined, emulated: true }
}

/** Round-trip ms beyond the access network. A preset replaces the access network only, so this part is kept. */
function beyondAccessMs(emulation: LinkEmulation | undefined): number {
  if (!emulation) return 0
  if (emulation.extraRttMs !== undefined) return emulation.extraRttMs
  const preset = Object.entries(NETWORK_PRESETS).find(([name]) => name === emulation.preset)?.[1]
  return preset ? Math.max(0, emulation.rttMs - preset.rttMs) : 0
}
