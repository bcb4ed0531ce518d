/** Where the services are: as the command line or the environment says, else where a system of this machine runs. */
import path from 'node:path'
import { ScissionError } from '../../shared/platform/errors.ts'
import { runningSystems, type SystemRecord } from '../start/system-file.ts'
import { type GlobalOptions, portBase } from './global-options.ts'

export interface Services {
  benchmark: string
  planner: string
  /** How they were found, in a few words. */
  found: string
  /** The system that was found running, if one was. */
  system?: SystemRecord
}

const HOST = 'http://127.0.0.1'
const DEFAULT_PORT_BASE = 8080
/** npm start gives the services these ports above its base. */
const PORTS = { benchmark: 1, planner: 2 }

type Given = Pick<GlobalOptions, 'portBase' | 'benchmarkUrl' | 'plannerUrl'>

/**
 * In this order: URLs that are given; the running system of the port base that is given; the only system that runs.
 * If none runs, the ports that `npm start` would take.
 * @throws ScissionError badRequest if a URL is none, or if several systems run and none is named: they are listed.
 */
export function findServices(given: Given, env: NodeJS.ProcessEnv): Services {
  const benchmark = urlOf('--benchmark-url', 8081, given.benchmarkUrl ?? env.SCISSION_BENCHMARK_URL)
  const planner = urlOf('--planner-url', 8082, given.plannerUrl ?? env.SCISSION_PLANNER_URL)
  if (benchmark !== undefined && planner !== undefined) return { benchmark, planner, found: 'as given' }
  const rest = findSystem(given.portBase ?? portBaseIn(env), path.resolve(env.SCISSION_DATA || '.scission'))
  return { ...rest, ...(benchmark !== undefined && { benchmark }), ...(planner !== undefined && { planner }) }
}

function findSystem(base: number | undefined, root: string): Services {
  const running = runningSystems(root)
  const matching = base === undefined ? running : running.filter((system) => system.portBase === base)
  const [system, another] = matching
  if (another !== undefined) throw severalRun(matching)
  if (system === undefined) {
    if (base === 0)
      throw new ScissionError(
        'peerUnavailable',
        `no system with --port-base 0 runs in ${root}: start one with npm start -- --port-base 0`,
      )
    return atPorts(
      base ?? DEFAULT_PORT_BASE,
      base === undefined
        ? `at the default ports; ${root} knows of no system that runs`
        : `--port-base ${base}`,
    )
  }
  const found = `--port-base ${system.portBase}, process ${system.pid}`
  if (system.services === undefined) return { ...atPorts(system.portBase, `${found}, starting`), system }
  const { benchmark, planner } = system.services
  return { benchmark, planner, found, system }
}

const atPorts = (base: number, found: string): Services => ({
  benchmark: `${HOST}:${base + PORTS.benchmark}`,
  planner: `${HOST}:${base + PORTS.planner}`,
  found,
})

function severalRun(systems: readonly SystemRecord[]): ScissionError {
  const lines = systems.map(
    ({ portBase: base, pid, startedAt, services }) =>
      `  --port-base ${base}  process ${pid}, since ${startedAt}, ${services?.planner ?? 'starting'}`,
  )
  return new ScissionError(
    'badRequest',
    `${systems.length} systems run here: say which with --port-base N, SCISSION_PORT_BASE=N, or --benchmark-url and --planner-url\n${lines.join('\n')}`,
    { portBases: systems.map((system) => system.portBase) },
  )
}

function portBaseIn({ SCISSION_PORT_BASE: text }: NodeJS.ProcessEnv): number | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return portBase(text)
  } catch {
    throw new ScissionError(
      'badRequest',
      `SCISSION_PORT_BASE must be 0 or a port up to 65000, for example 8080, got: ${text}`,
    )
  }
}

/** @throws ScissionError badRequest, which names the option. */
function urlOf(option: string, port: number, url: string | undefined): string | undefined {
  if (url === undefined || url === '') return undefined
  if (URL.canParse(url) && /^https?:/i.test(url)) return url
  throw new ScissionError('badRequest', `${option} must look like http://host:${port}, got: ${url}`)
}
