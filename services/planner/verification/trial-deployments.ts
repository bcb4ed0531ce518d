/**
 * The deployments that a verification makes for as long as it takes: the whole model on one resource, the split as planned,
 * the split without lossy codecs. They are not on record, name the deployment they verify, and share its loaded layers. No
 * other resource may stand in. Their ids follow from the deployment, so that a planner that takes up a verification finds,
 * and in the end releases, what another one left.
 */
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { losesNothing } from '../../../shared/codec/index.ts'
import { trialId } from '../../../shared/platform/trial-id.ts'

type Hop = Deployment['hops'][number]

/** The whole model on one resource. @param layers their number. */
export const wholeOn = (deployment: Deployment, resource: Resource, layers: number): Deployment =>
  trial(deployment, 'whole', [{ resource: resource.name, from: 0, to: layers }], resource)

/** The split as clients use it, or without the codecs that lose something. */
export const splitOf = (deployment: Deployment, path: 'exact' | 'planned'): Deployment => {
  const hops = deployment.hops.map(({ alternates: _others, ...hop }) =>
    path === 'planned' ? hop : exact(hop),
  )
  return trial(deployment, path, hops)
}

/** One cut alone, both of its sides on one resource. */
export const cutOn = (deployment: Deployment, resource: Resource, layers: number, cut: number): Deployment =>
  trial(
    deployment,
    `cut-${cut}`,
    [
      { resource: resource.name, from: 0, to: cut },
      { resource: resource.name, from: cut, to: layers },
    ],
    resource,
  )

/** Boundaries at which the model is split, in order. A hop that only forwards the input splits nothing. */
export const cutsOf = ({ hops }: Deployment, layers: number): number[] => [
  ...new Set(hops.map(({ from }) => from).filter((from) => from > 0 && from < layers)),
]

/** True if the hop's tensors arrive changed. */
export const isLossy = ({ codec = 'none' }: Hop): boolean => !losesNothing(codec)

function exact(hop: Hop): Hop {
  const { codec: _lossy, ...others } = hop
  return isLossy(hop) ? others : hop
}

function trial(
  { progress: _progress, verification: _verification, error: _error, ...deployment }: Deployment,
  what: string,
  hops: Hop[],
  entry?: Resource,
): Deployment {
  return {
    ...deployment,
    id: trialId(deployment, what),
    verifies: deployment.id,
    hops,
    ...(entry && { entry: { resource: entry.name, url: entry.url } }),
    fallback: 'none',
  }
}
