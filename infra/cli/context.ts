/** The context of every command: clients of the services, and how to print. */
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'

export interface GlobalOptions {
  json: boolean
  benchmarkUrl: string
  plannerUrl: string
}

export interface Context {
  benchmark: BenchmarkClient
  planner: PlannerClient
  json: boolean
  /** Prints `value` as JSON with --json, otherwise the text. */
  print: (value: unknown, text: () => string) => void
}

export function createContext(options: GlobalOptions): Context {
  return {
    benchmark: createBenchmarkClient(options.benchmarkUrl),
    planner: createPlannerClient(options.plannerUrl),
    json: options.json,
    print: (value, text) => console.log(options.json ? JSON.stringify(value, null, 2) : text()),
  }
}
