/**
 * Starts the whole system on one machine: Redis, the benchmark and planner services, one inference service per resource of
 * the testbed, and the link emulator between them. Stops everything in reverse order.
 */
import path from 'node:path'
import { type Credentials, shownTo } from '../../shared/platform/credentials.ts'
import { ownCredentials } from '../cli/own-credentials.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import { createJsonClient } from '../../shared/client/http.ts'
import type { Routes } from '../../shared/platform/service/service-config.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { pollUntil } from '../steps/poll-until.ts'
import { startLinkEmulatorProcess } from '../testbed/link-emulator/remote.ts'
import type { StartOptions } from './options.ts'
import { choosePorts, type Ports } from './ports.ts'
import { ProcessGroup } from './processes/group.ts'
import type { RestartLimits } from './processes/supervised.ts'
import { type OpenRedis, openRedis } from './redis/open-redis.ts'
import { loadTestbed, type Testbed } from '../testbed/testbed.ts'
import { claimSystem } from './system-file.ts'
import { keyFileIn } from './system-key-file.ts'

export interface SystemOptions extends Pick<StartOptions, 'testbed' | 'network' | 'portBase'> {
  /**
   * Root of the data folders: a system of another port base than the default one has one of its own in it, for models,
   * caches, Redis' data and the log file.
   */
  dataDir: string
  log: Logger
  /** Environment in which REDIS_URL and PATH are looked up. @defaultValue process.env */
  env?: NodeJS.ProcessEnv
  /** Called at once with a function that stops everything started so far. */
  onStop?: (stop: () => Promise<void>) => void
  /** Told what is being waited for. */
  waitFor?: ((what: string) => void) | undefined
  /** How a process that ends by itself is started again. */
  restarts?: RestartLimits | undefined
}

/** One of those that the system started. */
interface RunningProcess {
  name: string
  url: string
  /** Of the process that runs now: one that ended by itself was started again. */
  readonly pid: number | undefined
}

export interface System {
  redis: OpenRedis
  benchmarkUrl: string
  plannerUrl: string
  benchmark: RunningProcess
  planner: RunningProcess
  resources: RunningProcess[]
  /** Without a pid if the testbed has no links. */
  links: { readonly pid: number | undefined }
  /** Resolves once a process is given up that ended again and again, with the reason. */
  gaveUp: Promise<ScissionError>
  /** Of an operator, by the key of this system. */
  credentials: Credentials
  /** Folder of this system. */
  dataDir: string
  /** File with the output of all processes. */
  logFile: string
  close: () => Promise<void>
}

const HOST = '127.0.0.1'
/** A token of the user is not the services’. */
const NO_TOKEN = { SCISSION_SYSTEM_KEY: '', SCISSION_TOKEN: '', SCISSION_TOKEN_FILE: '' }
/** All resources have registered with their first heartbeat. */
const REGISTRATION_WAIT = { everyMs: 50, timeoutMs: 60_000 }

/**
 * Starts the system. Processes that start in parallel are awaited together, so that a failure of one does not leave another
 * half started. @throws ScissionError that names what could not be started and why; then nothing is left running.
 */
export async function startSystem(options: SystemOptions): Promise<System> {
  const testbed = loadTestbed(options.testbed, { network: options.network })
  const claim = claimSystem(options.dataDir, options.portBase)
  const { dataDir } = claim
  const logFile = path.join(dataDir, 'services.log')
  const group = new ProcessGroup(options.log, logFile, { limits: options.restarts })
  // The first member is stopped last: the others have ended when the claim is given back.
  group.add({ name: 'the claim on the port base', stop: () => Promise.resolve(claim.release()) })
  options.onStop?.(() => group.stopAll())
  try {
    const ports = await choosePorts(options.portBase, testbed.resources.length)
    options.waitFor?.('Redis and the link emulator')
    // With certificates in the environment the services speak TLS, also through the emulated links.
    const env = options.env ?? process.env
    const origin = `${env['SCISSION_TLS_CERT'] ? 'https' : 'http'}://${HOST}`
    const first = [startRedis(group, dataDir, options), startLinks(group, testbed, ports, origin)] as const
    await Promise.allSettled(first)
    const [redis, links] = await Promise.all(first)
    const { routes } = links
    const keyFile = keyFileIn(dataDir)
    const credentials = ownCredentials({ ...env, ...NO_TOKEN, SCISSION_SYSTEM_KEY_FILE: keyFile })
    const common = {
      SCISSION_HOST: HOST,
      // What the services know each other by.
      ...NO_TOKEN,
      SCISSION_SYSTEM_KEY_FILE: keyFile,
      REDIS_URL: redis.url,
      SCISSION_REDIS_KIND: redis.kind,
      SCISSION_DATA: dataDir,
      SCISSION_TIERS: testbed.tiers.join(','),
      SCISSION_BENCHMARK_URL: `${origin}:${ports.benchmark}`,
      SCISSION_PLANNER_URL: `${origin}:${ports.planner}`,
    }
    const services = await startServices(group, testbed, ports, { common, routes, waitFor: options.waitFor })
    options.waitFor?.('the services to be connected to Redis, and the resources to register')
    await Promise.all([
      ready('benchmark', services.benchmarkUrl, credentials),
      ready('planner', services.plannerUrl, credentials),
    ])
    await registered(
      createPlannerClient(services.plannerUrl, undefined, credentials),
      testbed.resources.length,
    )
    await claim.running(whereIs(redis, services))
    const { gaveUp } = group
    const close = () => group.stopAll()
    return { redis, ...services, links, gaveUp, credentials, dataDir, logFile, close }
  } catch (thrown) {
    await group.stopAll()
    throw thrown
  }
}

function whereIs(
  { kind, url }: OpenRedis,
  { benchmarkUrl, plannerUrl, resources }: Pick<System, 'benchmarkUrl' | 'plannerUrl' | 'resources'>,
) {
  const inference = Object.fromEntries(resources.map((resource) => [resource.name, resource.url]))
  return {
    redis: { kind, url },
    services: { benchmark: benchmarkUrl, planner: plannerUrl, resources: inference },
  }
}

async function startRedis(
  group: ProcessGroup,
  dataDir: string,
  { log, env }: SystemOptions,
): Promise<OpenRedis> {
  const opening = openRedis({
    dataDir: path.join(dataDir, 'redis'),
    log,
    env: env ?? process.env,
    supervise: group.supervise.bind(group),
  })
  // Added before it is there, so that a stop in the meantime reaches it. Who started it says why it could not be.
  group.add({
    name: 'Redis',
    stop: () =>
      opening.then(
        ({ close }) => close(),
        () => undefined,
      ),
  })
  return await opening
}

/** @returns for each resource, the URLs by which it reaches its peers, and the process of the emulator. */
async function startLinks(group: ProcessGroup, testbed: Testbed, ports: Ports, origin: string) {
  const routes = new Map<string, Routes>()
  if (testbed.links.length === 0) return { routes, pid: undefined }
  const portOf = new Map(
    testbed.resources.map((resource, index) => [resource.name, ports.inference[index] ?? 0]),
  )
  const emulator = await startLinkEmulatorProcess(
    (process, restart) => group.startSupervised(process, restart),
    testbed.links.map(({ from, to, rttMs, upMbps, downMbps }) => ({
      name: linkId(from, to),
      rttMs,
      upMbps,
      downMbps,
      target: { host: HOST, port: portOf.get(to) ?? 0 },
    })),
  )
  for (const { from, to, ...emulation } of testbed.links) {
    const url = `${origin}:${emulator.ports[linkId(from, to)]}`
    routes.set(from, { ...routes.get(from), [to]: { url, emulation } })
  }
  return {
    routes,
    get pid() {
      return emulator.pid
    },
  }
}

interface ServiceSettings extends Pick<SystemOptions, 'waitFor'> {
  /** Environment of all of them. */
  common: Record<string, string>
  routes: Map<string, Routes>
}

async function startServices(
  group: ProcessGroup,
  testbed: Testbed,
  ports: Ports,
  { common, routes, waitFor }: ServiceSettings,
) {
  const missing = new Set<string>()
  const say = () => waitFor?.(`the services ${[...missing].join(', ')}`)
  const start = async (name: string, service: string, port: number | undefined, env = {}) => {
    missing.add(name)
    say()
    const process = await group.startSupervised({
      name,
      entry: new URL(`../../services/${service}/main.ts`, import.meta.url),
      env: { ...common, SCISSION_PORT: String(port), ...env },
    })
    missing.delete(name)
    say()
    return process
  }
  const starts = [
    start('benchmark', 'benchmark', ports.benchmark),
    start('planner', 'planner', ports.planner),
    ...testbed.resources.map(({ name, tier, slowdown, threads }, index) =>
      start(name, 'inference', ports.inference[index], {
        SCISSION_RESOURCE: name,
        SCISSION_TIER: tier,
        SCISSION_SLOWDOWN: String(slowdown),
        SCISSION_THREADS: String(threads),
        SCISSION_ROUTES: JSON.stringify(routes.get(name) ?? {}),
      }),
    ),
  ]
  await Promise.allSettled(starts)
  const [benchmark, planner, ...resources] = await Promise.all(starts)
  if (!benchmark || !planner) throw new Error('two of the processes are these')
  return { benchmarkUrl: benchmark.url, plannerUrl: planner.url, benchmark, planner, resources }
}

/** Waits until the service is ready: it answers 503 until it is connected to Redis. */
async function ready(name: string, url: string, credentials: Credentials): Promise<void> {
  const client = createJsonClient(`${name} service`, url, undefined, shownTo(name, credentials))
  const ask = () => client.send({ url: '/readyz' }).catch((thrown: unknown) => ({ thrown }))
  const failure = await pollUntil(ask, (answer) => answer === undefined, REGISTRATION_WAIT)
  if (failure !== undefined) throw failure.thrown
}

async function registered(planner: PlannerClient, count: number): Promise<void> {
  const ask = async () => (await planner.resources()).filter(({ alive }) => alive).map(({ name }) => name)
  const names = await pollUntil(ask, (alive) => alive.length >= count, REGISTRATION_WAIT)
  if (names.length >= count) return
  throw new ScissionError(
    'internal',
    `only ${names.join(', ') || 'none'} of ${count} resources registered within ${REGISTRATION_WAIT.timeoutMs} ms`,
  )
}
