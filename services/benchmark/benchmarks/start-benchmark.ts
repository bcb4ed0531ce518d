/**
 * Starts benchmarks.
 *
 * A request that equals a benchmark under way (same model, shapes, samples, resources, runs and options) is answered with that
 * benchmark, which a fingerprint in Redis identifies. After it has ended, the same request starts a new one. A resource
 * with a recent profile of the same model is not measured again unless the request forces it: its part completes at once.
 */
import type { Grant } from '../../../shared/platform/access/holdings.ts'
import { modelLock, withLock } from '../../../shared/platform/redis/lock.ts'
import { createHash, randomBytes } from 'node:crypto'
import type { Structure } from '../../../shared/contracts/model.ts'
import type {
  Benchmark,
  BenchmarkJobData,
  BenchmarkRequest,
  Profile,
} from '../../../shared/contracts/profile.ts'
import { checkWritable } from '../../../shared/platform/redis/writable.ts'
import { profileId, type State } from '../../../shared/platform/redis/state.ts'
import { machineDifferences, type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import {
  type BenchmarkDeps,
  childId,
  COLLECT_ATTEMPTS,
  KEEP_ENDED,
  KEEP_SECONDS,
  type ParentData,
  promptly,
  requestKey,
} from './benchmark-queues.ts'
import { inTurn, type JobTurn } from '../job-turns.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'
import { PARENT_QUEUE, resourceQueue } from '../../../shared/platform/redis/queues.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

/** What identifies a measurement of the model: its input shapes and values. */
type Measured = Pick<Structure, 'model' | 'shapesKey' | 'samples'>

/** Does what makes a job, if whoever asks may have one more. */
export type Admit = <T>(work: (grant: Pick<Grant, 'owner'>) => Promise<T>) => Promise<T>

/** Who asks for a job. */
export interface Applicant {
  asker: Asker
  admit: Admit
}

/**
 * @param structure names the model and the input shapes.
 * @param applicant is admitted if there is no such benchmark under way. @throws what `admit` throws; ScissionError notFound for an
 * unknown resource; conflict if no resource is alive, or a named one is not; queueUnavailable; as `inTurn`.
 */
export async function startBenchmark(
  deps: BenchmarkDeps,
  structure: Measured,
  request: BenchmarkRequest,
  { asker, admit }: Applicant,
): Promise<Benchmark> {
  const resources = await chooseResources(deps, request.resources)
  const names = resources.map((resource) => resource.name)
  const reused = await reusable(deps.state, structure, resources, request, deps.now())
  const measured = resources.filter((resource) => !entryOf(reused, resource.name))
  const fingerprint = fingerprintOf(structure, names, request)
  const redis = deps.queues.redis
  return promptly(redis, () =>
    withLock(redis, `benchmark:${fingerprint}`, async () => {
      const known = await redis.get(requestKey(fingerprint))
      const underWay = known === null ? undefined : await readBenchmark(deps.queues, known)
      if (underWay && isUnderWay(underWay.state) && answers(underWay, reused)) return underWay
      const data: ParentData = {
        model: structure.model,
        shapesKey: structure.shapesKey,
        resources: names,
        notes: [
          ...deps.standingNotes,
          ...emulationNotes(resources),
          ...reuseNotes(reused),
          ...disturbanceNotes(measured, request),
        ],
        fingerprint,
        createdAt: new Date(deps.now()).toISOString(),
        reused,
      }
      const id = `${fingerprint}-${randomBytes(4).toString('hex')}`
      await admit(({ owner }) =>
        withLock(redis, modelLock(structure.model), async () => {
          // It may have been deleted since it was looked up.
          await deps.state.models.need(structure.model)
          const resources = measured.map(({ name }) => name)
          await inTurn(deps.queues, resources, asker, (turn) =>
            enqueue(deps, id, { ...data, owner }, request, turn),
          )
        }),
      )
      await redis.set(requestKey(fingerprint), id, 'EX', KEEP_SECONDS)
      const benchmark = await readBenchmark(deps.queues, id)
      if (!benchmark) throw new ScissionError('internal', `benchmark ${id} is not in the queue just written`)
      return benchmark
    }),
  )
}

/** True if every profile that the benchmark reused is recent enough for this request too. New measurements always are. */
function answers(underWay: Benchmark, reusable: ParentData['reused']): boolean {
  return underWay.parts.every(
    ({ reusedFrom, resource }) => reusedFrom === undefined || entryOf(reusable, resource),
  )
}

/** Equal for requests that ask for the same measurement. */
function fingerprintOf(
  { model, shapesKey, samples }: Measured,
  names: readonly string[],
  { runs, options = {} }: BenchmarkRequest,
): string {
  const asked = [model, shapesKey, names, runs, options.threads, options.optimisation, samples]
  return createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 16)
}

async function enqueue(
  deps: BenchmarkDeps,
  id: string,
  data: ParentData,
  request: BenchmarkRequest,
  { asker, rounds }: JobTurn,
): Promise<void> {
  const measured = data.resources.filter((resource) => !entryOf(data.reused, resource))
  await deps.queues.flows.add({
    name: 'benchmark',
    queueName: PARENT_QUEUE,
    data,
    opts: { jobId: id, attempts: COLLECT_ATTEMPTS, ...KEEP_ENDED },
    children: measured.map((resource) => ({
      name: 'profile',
      queueName: resourceQueue(resource),
      data: {
        benchmark: id,
        model: data.model,
        shapesKey: data.shapesKey,
        resource,
        runs: request.runs,
        options: request.options ?? {},
        asker,
      } satisfies BenchmarkJobData,
      // If one resource fails, the parent still collects the measurements of the others.
      opts: {
        jobId: childId(id, resource),
        ignoreDependencyOnFailure: true,
        priority: rounds.get(resource) ?? 0,
        ...KEEP_ENDED,
      },
    })),
  })
}

const START_HINT = 'start one with: SCISSION_RESOURCE=<name> SCISSION_TIER=<tier> npm run inference'

async function chooseResources(
  deps: BenchmarkDeps,
  asked: readonly string[] | undefined,
): Promise<Resource[]> {
  const known = (await deps.state.resources.all()).map((resource) =>
    withLiveness(resource, deps.heartbeatMs, deps.now()),
  )
  const names = known.map((resource) => resource.name)
  const alive = known.filter((resource) => resource.alive)
  // If Redis takes no heartbeats, that is the fault, not the machines.
  if (alive.length === 0) await checkWritable(deps.state.redis)
  if (asked === undefined) {
    if (alive.length > 0) return alive
    const message = `no resource is alive, so there is nothing to measure on; ${START_HINT}`
    throw new ScissionError('conflict', message, { known: names })
  }
  return [...new Set(asked)].sort().map((name) => {
    const found = known.find((resource) => resource.name === name)
    if (!found) {
      const hint = names.length > 0 ? `known: ${names.join(', ')}` : START_HINT
      throw new ScissionError('notFound', `unknown resource "${name}"; ${hint}`, { known: names })
    }
    if (found.alive) return found
    throw new ScissionError(
      'conflict',
      `resource ${name} is down: no heartbeat since ${found.heartbeatAt}; start it again or leave it out`,
      { resource: name },
    )
  })
}

/** The runtime options to measure with: those of the request, else the resource's own. */
function optionsFor(resource: Resource, asked: BenchmarkRequest['options']): Resource['options'] {
  return {
    threads: asked?.threads ?? resource.options.threads,
    optimisation: asked?.optimisation ?? resource.options.optimisation,
  }
}

/** Finds profiles that are recent enough to stand for a new measurement, by resource. None if the request forces one. */
async function reusable(
  state: State,
  { model, shapesKey, samples }: Measured,
  resources: readonly Resource[],
  request: BenchmarkRequest,
  now: number,
): Promise<ParentData['reused']> {
  if (request.force || request.maxAgeMs === 0) return {}
  const found: ParentData['reused'] = {}
  for (const resource of resources) {
    const options = optionsFor(resource, request.options)
    const profile = await state.profiles.find(
      profileId({ model, shapesKey, resource: resource.name, options }),
    )
    if (!profile || profile.samples !== samples || !isSame(profile, resource) || !isEnough(profile, request))
      continue
    if (now - Date.parse(profile.measuredAt) > request.maxAgeMs) continue
    found[resource.name] = { profile: profile.id, measuredAt: profile.measuredAt }
  }
  return found
}

/** True if the profile was measured by this system on this machine, at this speed and with this runtime. */
function isSame(profile: Profile, resource: Resource): boolean {
  return profile.source !== 'imported' && machineDifferences(profile, resource).length === 0
}

/** True if the profile rests on at least as many runs as the request asks for. */
function isEnough(profile: Profile, { runs }: BenchmarkRequest): boolean {
  return runs === undefined || profile.whole.samplesMs.length >= runs
}

function emulationNotes(resources: readonly Resource[]): string[] {
  return resources
    .filter((resource) => resource.emulated)
    .map((resource) => `${resource.name} is emulated: it runs ${resource.slowdown}x slower than its machine`)
}

function reuseNotes(reused: ParentData['reused']): string[] {
  return Object.entries(reused).map(
    ([resource, { measuredAt }]) =>
      `${resource} is not measured again: its profile of ${measuredAt} is reused; "force": true measures`,
  )
}

/** Cores that a service needs besides its executor: for the event loop, the kernel's network work, the measuring process. */
const OTHER_CORES = 1

/**
 * Warns if serving may become slower during the measurement. The measuring process has the lowest priority, but if all
 * cores are busy it still fills the caches and briefly holds a core. With one core less than this rule asks for, the 95th
 * percentile of serving rose by 37 % (ResNet50 beside MobileNetV2 on two cores; 87 % with equal priorities), measured by
 * `npm run bench -- while-serving`. With one core per thread of both and one more, no note is given.
 */
function disturbanceNotes(resources: readonly Resource[], request: BenchmarkRequest): string[] {
  return resources.flatMap((resource) => {
    const { threads } = optionsFor(resource, request.options)
    const needed = resource.options.threads + threads + OTHER_CORES
    if (resource.machine.cores >= needed) return []
    return [
      `serving on ${resource.name} may be slower while it is measured, by 20 % or more at the 95th percentile: ` +
        `it has ${resource.machine.cores} cores and would need ${needed}`,
    ]
  })
}
