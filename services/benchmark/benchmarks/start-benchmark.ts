/**
 * Starts benchmarks.
 *
 * A request that equals one under way (same model, shapes, resources, runs, options) is answered with that one; its
 * fingerprint in Redis says which. Once a benchmark has ended the same request starts a new one. A resource that has a
 * recent profile of the same is not measured again, unless the request forces it: its part is completed at once.
 */
import { createHash, randomBytes } from 'node:crypto'
import { withLiveness } from '../../../shared/contracts/alive.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Benchmark, BenchmarkJobData, BenchmarkRequest } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { modelLock, withLock } from '../../../shared/platform/redis/lock.ts'
import type { BenchmarkParts } from './benchmark-deps.ts'
import { childId, KEEP, KEEP_SECONDS, type ParentData, promptly, requestKey } from './queues.ts'
import { disturbanceNotes, emulationNotes, reuseNotes } from './notes.ts'
import { reusable } from './reuse.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'
import { startWatch } from './watch.ts'
import { PARENT_QUEUE, resourceQueue } from '../../../shared/platform/redis/benchmark-queue.ts'

/**
 * @throws ScissionError notFound (unknown resource), conflict (none alive, or a named one is not),
 * queueUnavailable.
 */
export async function startBenchmark(
  parts: BenchmarkParts,
  structure: Pick<Structure, 'model' | 'shapesKey'>,
  request: BenchmarkRequest,
): Promise<Benchmark> {
  const resources = await chooseResources(parts, request.resources)
  const names = resources.map((resource) => resource.name)
  const reused = await reusable(parts.state, structure, resources, request, parts.now())
  const measured = resources.filter((resource) => !(resource.name in reused))
  const fingerprint = fingerprintOf(structure, names, request)
  const redis = parts.queues.redis
  return promptly(redis, () =>
    withLock(redis, `benchmark:${fingerprint}`, async () => {
      const known = await redis.get(requestKey(fingerprint))
      const underWay = known === null ? undefined : await readBenchmark(parts.queues, known)
      if (underWay && isUnderWay(underWay.state) && answers(underWay, reused)) return underWay
      const data: ParentData = {
        model: structure.model,
        shapesKey: structure.shapesKey,
        resources: names,
        notes: [
          ...parts.standingNotes,
          ...emulationNotes(resources),
          ...reuseNotes(reused),
          ...disturbanceNotes(measured, request),
        ],
        fingerprint,
        createdAt: new Date(parts.now()).toISOString(),
        reused,
      }
      const id = `${fingerprint}-${randomBytes(4).toString('hex')}`
      await withLock(redis, modelLock(structure.model), async () => {
        // It may have been deleted since it was looked up.
        await parts.state.models.need(structure.model)
        await enqueue(parts, id, data, request)
      })
      await redis.set(requestKey(fingerprint), id, 'EX', KEEP_SECONDS)
      const benchmark = await readBenchmark(parts.queues, id)
      if (!benchmark) throw new ScissionError('internal', `benchmark ${id} is not in the queue just written`)
      return benchmark
    }),
  )
}

/** What it reused must be recent enough for this request too; what it measures, or has measured since, is. */
function answers(underWay: Benchmark, reusable: ParentData['reused']): boolean {
  return underWay.parts.every(({ reusedFrom, resource }) => reusedFrom === undefined || resource in reusable)
}

/** Requests that ask for the same have the same. */
function fingerprintOf(
  { model, shapesKey }: Pick<Structure, 'model' | 'shapesKey'>,
  names: readonly string[],
  { runs, options = {} }: BenchmarkRequest,
): string {
  const asked = [model, shapesKey, names, runs, options.threads, options.optimisation]
  return createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 16)
}

async function enqueue(
  parts: BenchmarkParts,
  id: string,
  data: ParentData,
  request: BenchmarkRequest,
): Promise<void> {
  const measured = data.resources.filter((resource) => !(resource in data.reused))
  // The watch first: a benchmark that nobody watches could stay under way for ever.
  if (measured.length > 0) await startWatch(parts, id, measured)
  await parts.queues.flows.add({
    name: 'benchmark',
    queueName: PARENT_QUEUE,
    data,
    opts: {
      jobId: id,
      attempts: 5,
      backoff: { type: 'exponential', delay: 200 },
      removeOnComplete: KEEP,
      removeOnFail: KEEP,
    },
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
      } satisfies BenchmarkJobData,
      // A resource that fails says so alone: the parent collects what the others measured.
      opts: {
        jobId: childId(id, resource),
        ignoreDependencyOnFailure: true,
        removeOnComplete: KEEP,
        removeOnFail: KEEP,
      },
    })),
  })
}

const START_HINT = 'start one with: SCISSION_RESOURCE=<name> SCISSION_TIER=<tier> npm run inference'

async function chooseResources(
  parts: BenchmarkParts,
  asked: readonly string[] | undefined,
): Promise<Resource[]> {
  const known = (await parts.state.resources.all()).map((resource) =>
    withLiveness(resource, parts.heartbeatMs, parts.now()),
  )
  const alive = known.filter((resource) => resource.alive)
  if (asked === undefined) {
    if (alive.length > 0) return alive
    throw new ScissionError(
      'conflict',
      `no resource is alive, so there is nothing to measure on; ${START_HINT}`,
      {
        known: known.map((resource) => resource.name),
      },
    )
  }
  return [...new Set(asked)].sort().map((name) => {
    const found = known.find((resource) => resource.name === name)
    if (!found) {
      const names = known.map((resource) => resource.name)
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
