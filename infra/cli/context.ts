/** The context of every command: clients of the services, and how to print. */
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { KnownRevision } from '../../shared/client/known-revision.ts'
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
  /** For clients of inference services. */
  readonly known: KnownRevision
  /** Prints `value` as JSON with --json, otherwise the text made of it. */
  print: <T>(value: T, text: (value: T) => string) => void
}

/** @param options known as soon as the command line is parsed, so when a command runs. */
export function createContext(options: () => GlobalOptions): Context {
  // What another command, or anybody, has had acknowledged before this one holds for it.
  const known = new KnownRevision('latest')
  return {
    get benchmark() {
      return createBenchmarkClient(checked('--benchmark-url', 8081, options().benchmarkUrl), known)
    },
    get planner() {
      return createPlannerClient(checked('--planner-url', 8082, options().plannerUrl), known)
    },
    known,
    print: (value, text) => console.log(options().json ? JSON.stringify(value, null, 2) : text(value)),
  }
}

/** @throws ScissionError badRequest, which names the option. */
function checked(option: string, port: number, url: string): string {
  if (URL.canParse(url) && /^https?:/i.test(url)) return url
  throw new ScissionError('badRequest', `${option} must look like http://host:${port}, got: ${url}`)
}
