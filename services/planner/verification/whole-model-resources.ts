/**
 * Which resources may run the whole model to verify a deployment: those on its path, and those on which the model was
 * measured, which have had all of its layers already. Others are not asked, since a plan's constraints may keep layers away
 * from them. Whether a model fits is decided by the resource itself when it is told to hold it.
 */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'

export interface WholeModelDeps {
  state: State
  mirror: Pick<RedisMirror, 'profiles'>
  heartbeatMs: number
  now: () => number
}

export interface WholeModelResources {
  /** Those that hold the whole model for a deployment first, then the fastest. */
  able: Resource[]
  /** Why each of the others is not. */
  unable: string[]
}

/**
 * Asks nobody: what Redis says of them decides. @param structure of the deployment's layers.
 * @throws ScissionError queueUnavailable.
 */
export async function wholeModelResources(
  deps: WholeModelDeps,
  deployment: Deployment,
  structure: Structure,
): Promise<WholeModelResources> {
  const expectedMs = expectedTimes(deps.mirror, deployment)
  const names = new Set([...deployment.hops.map(({ resource }) => resource), ...expectedMs.keys()])
  const holding = await holdersOf(deps.state, deployment, structure.layers.length)
  const rank = (name: string) => [holding.has(name) ? 0 : 1, expectedMs.get(name) ?? Infinity] as const
  const able: Resource[] = []
  const unable: string[] = []
  for (const name of [...names].sort()) {
    const resource = await deps.state.resources.get(name)
    const reason = reasonAgainst(resource, name, deps, structure)
    if (resource && reason === undefined) able.push(resource)
    else unable.push(`${name}: ${reason}`)
  }
  able.sort((a, b) => {
    const [first, second] = [rank(a.name), rank(b.name)]
    return first[0] - second[0] || (first[1] < second[1] ? -1 : first[1] > second[1] ? 1 : 0)
  })
  return { able, unable }
}

function reasonAgainst(
  resource: Resource | undefined,
  name: string,
  { heartbeatMs, now }: WholeModelDeps,
  { weightBytes }: Structure,
): string | undefined {
  if (!resource) return 'it is not registered'
  if (resource.source === 'imported') return 'it was imported with its measurements: there is no service'
  if (!withLiveness(resource, heartbeatMs, now()).alive) return `no heartbeat since ${resource.heartbeatAt}`
  const { memoryBytes } = resource.machine
  if (weightBytes > memoryBytes)
    return `${weightBytes} bytes of weights, and ${name} has ${memoryBytes} of memory`
  return undefined
}

/** ms that the whole model takes on each resource on which it was measured, imported ones left out. */
function expectedTimes(
  { profiles }: WholeModelDeps['mirror'],
  { model, shapesKey }: Deployment,
): Map<string, number> {
  const times = new Map<string, number>()
  for (const profile of profiles.values()) {
    if (profile.model !== model || profile.shapesKey !== shapesKey || profile.source === 'imported') continue
    const totalMs = profile.layerMs.reduce((sum, layerMs) => sum + layerMs, 0) * profile.slowdown
    times.set(profile.resource, Math.min(totalMs, times.get(profile.resource) ?? Infinity))
  }
  return times
}

/** Resources that hold all layers for this or another deployment. */
async function holdersOf(state: State, deployment: Deployment, layers: number): Promise<Set<string>> {
  const { model, shapesKey } = deployment
  const others = (await state.deployments.all()).filter((other) => other.state === 'ready')
  const same = [deployment, ...others].filter((one) => one.model === model && one.shapesKey === shapesKey)
  const whole = same.flatMap(({ hops }) => hops.filter(({ from, to }) => from === 0 && to === layers))
  return new Set(whole.map(({ resource }) => resource))
}
