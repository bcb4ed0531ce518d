/**
 * The cuts of a deployment at which clients may enter it: the first layer of each stage. A client that computed the layers
 * before a cut sends its tensors to the resource whose stage begins there, and the rest of the plan runs as for everybody.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Peers } from '../registration/peers.ts'
import type { Here, LayerRange } from '../serving/models/target.ts'

/** A resource that runs the stage behind a cut, and the address of the layers from there on, if it is registered. */
export interface Place {
  resource: string
  url: string
}

/**
 * @returns the position of the first hop that begins at the range.
 * @throws ScissionError invalidRange, which lists the cuts and their addresses.
 */
export async function checkCut(
  peers: Pick<Peers, 'find'>,
  record: Deployment,
  range: LayerRange,
): Promise<number> {
  const [hop] = hopsFrom(record, range.from)
  const end = endOf(record)
  if (hop !== undefined && range.to === end) return hop
  const cuts = [...new Set(record.hops.map(({ from }) => from))].filter((from) => from < end)
  const ways = cuts.map(async (from) => {
    const places = await placesOf(peers, record, { from, to: end })
    return `${from}-${end} at ${places.map(({ url }) => url).join(' or ')}`
  })
  throw new ScissionError(
    'invalidRange',
    `layers ${range.from}-${range.to}: deployment ${record.id} is entered at a cut of its plan and run to the end: ` +
      `${(await Promise.all(ways)).join(', ')}; other ranges are run without it, under the model ${record.model}`,
    { cuts, layers: end },
  )
}

/**
 * The position of the hop that begins at the range and runs on this resource, of the plan or in place of it.
 * @throws ScissionError invalidRange as `checkCut`; notFound if it runs elsewhere, with the address.
 */
export async function hopHere(
  { here, peers }: { here: Here; peers: Pick<Peers, 'find'> },
  record: Deployment,
  range: LayerRange,
): Promise<number> {
  await checkCut(peers, record, range)
  const hops = hopsFrom(record, range.from)
  const own = hops.find((hop) => record.hops[hop]?.resource === here.resource)
  const standIn = hops.find((hop) => record.hops[hop]?.alternates?.includes(here.resource))
  const found = own ?? standIn
  if (found !== undefined) return found
  const places = await placesOf(peers, record, range)
  const where = places.map(({ resource, url }) => `resource ${resource}: POST ${url}/infer`)
  throw new ScissionError(
    'notFound',
    `layers ${range.from}-${range.to} of deployment ${record.id} are entered at ${where.join(', or ')}`,
    { places },
  )
}

/** The resources of the stages that begin at a range, those of the plan. */
export function placesOf(
  peers: Pick<Peers, 'find'>,
  record: Deployment,
  { from, to }: LayerRange,
): Promise<Place[]> {
  const names = hopsFrom(record, from).flatMap((hop) => record.hops[hop]?.resource ?? [])
  const path = `/v2/models/${encodeURIComponent(record.id)}/layers/${from}-${to}`
  return Promise.all(
    names.map(async (resource) => {
      const base = await registeredUrl(peers, record, resource)
      return {
        resource,
        url: base === undefined ? `(${resource}, which is not registered)` : `${base}${path}`,
      }
    }),
  )
}

/** Its own address, not that of a route from here: clients are elsewhere. */
async function registeredUrl(
  peers: Pick<Peers, 'find'>,
  { entry }: Deployment,
  name: string,
): Promise<string | undefined> {
  try {
    const { resource } = await peers.find(name)
    return resource.url.replace(/\/$/, '')
  } catch (error) {
    if (!(error instanceof ScissionError)) throw error
    return name === entry.resource ? entry.url.replace(/\/$/, '') : undefined
  }
}

/** Positions of the hops that begin at a layer. The source comes first, even if it runs nothing. */
function hopsFrom({ hops }: Deployment, from: number): number[] {
  return hops.flatMap((hop, index) =>
    hop.from === from && (index === 0 || hop.from < hop.to) ? [index] : [],
  )
}

const endOf = ({ hops }: Deployment): number => hops.at(-1)?.to ?? 0
