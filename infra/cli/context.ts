/** The context of every command: clients of the services, and how to print. */
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import { ScissionError } from '../../shared/platform/errors.ts'

export interface GlobalOptions {
  json: boolean
  benchmarkUrl: string
  plannerUrl: string
}

export interface Context {
  readonly benchmark: BenchmarkClient
  readonly planner: PlannerClient
  /** Prints `value` as JSON with --json, otherwise the text made of it. */
  print: <T>(value: T, text: (value: T) => string) => void
}

/** @param options known as soon as the command line is parsed, so when a command runs. */
export function createContext(options: () => GlobalOptions): Context {
  return {
    get benchmark() {
      return createBenchmarkClient(checked('--benchmark-url', 8081, options().benchmarkUrl))
    },
    get planner() {
      return createPlannerClient(checked('--planner-url', 8082, options().plannerUrl))
    },
    print: (value, text) => console.log(options().json ? JSON.stringify(value, null, 2) : text(value)),
  }
}

/** @throws ScissionError badRequest, which names the option. */
function checked(option: string, port: number, url: string): string {
  if (URL.canParse(url) && /^https?:/i.test(url)) return url
  throw new ScissionError('badRequest', `${option} must look like http://host:${port}, got: ${url}`)
}
