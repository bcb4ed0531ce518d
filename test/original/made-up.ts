/**
 * Made-up measurements in the form of the original's `profiles.json` and `networks.json`: one device, two edges (one
 * with a name of digits, as a machine of the original has), two clouds, two connections files, three networks. The
 * edge `laptop` measured 0 s for every block of `still`, which the original takes for a tier that is not used.
 */
import { drawn } from '../data/make/net.ts'

/** First and last layer of each block, and the elements of its output. */
type Blocks = readonly (readonly [first: number, last: number, elements: number])[]

const NETWORKS_OF_LAYERS: Record<string, Blocks> = {
  Chain: [
    [0, 1, 20_000],
    [2, 2, 12_000],
    [3, 6, 8_000],
    [7, 7, 30_000],
    [8, 11, 3_000],
    [12, 12, 1_000],
    [13, 15, 10],
  ],
  Wide_V2: [
    [0, 0, 90_000],
    [1, 20, 60_000],
    [21, 40, 25_000],
    [41, 41, 40],
  ],
  still: [
    [0, 2, 15_000],
    [3, 5, 6_000],
    [6, 9, 100],
  ],
}

const MACHINES = [
  { tier: 'device', name: 'pi', second: 1.2 },
  { tier: 'edge', name: '2500', second: 0.3 },
  { tier: 'edge', name: 'laptop', second: 0.25 },
  { tier: 'cloud', name: 'server(GPU)', second: 0.02 },
  { tier: 'cloud', name: 'server(NoGPU)', second: 0.09 },
]

export const DEVICE = 'pi'
export const STILL_EDGE = 'laptop'

type Block = [first: number, last: number, seconds: number, outputBytes: number]

export interface MadeUp {
  profiles: {
    systems: Record<string, { tier: string; name: string; models: Record<string, { blocks: Block[] }> }>
  }
  networks: Record<string, { source: string; destination: string; pingMs: number; bandwidthMbps: number }[]>
}

export function madeUp(): MadeUp {
  const systems = MACHINES.map(({ tier, name, second }) => {
    const models = Object.entries(NETWORKS_OF_LAYERS).map(([model, blocks]) => {
      const shares = drawn(`${name}/${model}`, blocks.length, 0.4)
      const timed = blocks.map(([first, last, elements], at): Block => {
        const seconds = name === STILL_EDGE && model === 'still' ? 0 : second * (0.5 + (shares[at] ?? 0))
        return [first, last, seconds, 4 * elements + 128]
      })
      return [model, { blocks: timed }] as const
    })
    return [`${tier}-${name}`, { tier, name, models: Object.fromEntries(models) }] as const
  })
  return {
    profiles: { systems: Object.fromEntries(systems) },
    networks: {
      'wlan.csv': connections({ pingMs: 66.7, bandwidthMbps: 1.6 }),
      'ethernet.csv': connections({ pingMs: 3.1, bandwidthMbps: 21.3 }),
    },
  }
}

/** The device's connections as given; edges reach clouds at ten times the rate. */
function connections(device: { pingMs: number; bandwidthMbps: number }): MadeUp['networks'][string] {
  const of = (tier: string) => MACHINES.filter((machine) => machine.tier === tier).map(({ name }) => name)
  const [edges, clouds] = [of('edge'), of('cloud')]
  return [
    ...[...edges, ...clouds].map((destination) => ({ source: DEVICE, destination, ...device })),
    ...edges.flatMap((source) =>
      clouds.map((destination) => ({
        source,
        destination,
        pingMs: 8.9,
        bandwidthMbps: 10 * device.bandwidthMbps,
      })),
    ),
  ]
}
