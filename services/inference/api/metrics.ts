/** Prometheus metrics of models and executor, read from their counters at each scrape. */
import { Counter, Gauge, Registry } from 'prom-client'
import { addConditionMetrics, type ConditionCounts } from '../../../shared/platform/condition-metrics.ts'
import type { ExecutorStats } from '../serving/executor/executor.ts'
import type { StandIns } from '../forwarding/stand-ins.ts'
import type { Statistics } from './request-statistics.ts'

const PHASES = ['queue', 'compute_input', 'compute_infer', 'compute_output'] as const
const NS_PER_SECOND = 1e9

export interface MetricsDeps {
  statistics: Statistics
  executor: () => ExecutorStats
  /** How many layer ranges were refused so far because bytes of them were missing. */
  incomplete: () => number
  standIns: () => ReturnType<StandIns['stats']>
  conditions: ConditionCounts
}

export function createMetrics(deps: MetricsDeps): Registry {
  const { statistics, executor, incomplete, standIns, conditions } = deps
  const registry = new Registry()
  addConditionMetrics(registry, conditions)
  const registers = [registry]
  const requests = new Counter({
    name: 'scission_inference_requests_total',
    help: 'Inference requests by model, version and outcome',
    labelNames: ['model', 'version', 'outcome'],
    registers,
    collect: () => {
      requests.reset()
      for (const { name: model, version, inference_stats } of statistics.all()) {
        requests.inc({ model, version, outcome: 'success' }, inference_stats.success.count)
        requests.inc({ model, version, outcome: 'fail' }, inference_stats.fail.count)
      }
    },
  })
  const seconds = new Counter({
    name: 'scission_inference_duration_seconds_total',
    help: 'Time of successful inference requests by phase',
    labelNames: ['model', 'version', 'phase'],
    registers,
    collect: () => {
      seconds.reset()
      for (const { name: model, version, inference_stats } of statistics.all()) {
        for (const phase of PHASES)
          seconds.inc({ model, version, phase }, inference_stats[phase].ns / NS_PER_SECOND)
      }
    },
  })
  const lanes = () => [...executor().threads, ...executor().processes]
  const queued = new Gauge({
    name: 'scission_executor_queued',
    help: 'Runs that wait for an executor thread, or for a process of their stage',
    registers,
    collect: () => {
      queued.set(lanes().reduce((sum, lane) => sum + lane.queued, 0))
    },
  })
  const running = new Gauge({
    name: 'scission_executor_running',
    help: 'Executor threads that have a run, and stages that have one in a process',
    registers,
    collect: () => {
      running.set(lanes().filter((lane) => lane.running).length)
    },
  })
  const restarts = new Counter({
    name: 'scission_executor_restarts_total',
    help: 'Executor threads that died, and processes of stages that died or were ended, and were replaced',
    registers,
    collect: () => {
      restarts.reset()
      restarts.inc(lanes().reduce((sum, lane) => sum + lane.restarts, 0))
    },
  })
  const ranges = new Counter({
    name: 'scission_ranges_incomplete_total',
    help: 'Layer ranges that were not opened because bytes that they refer to had not been fetched: must stay 0',
    registers,
    collect: () => {
      ranges.reset()
      ranges.inc(incomplete())
    },
  })
  standInMetrics(standIns, registers)
  return registry
}

function standInMetrics(standIns: MetricsDeps['standIns'], registers: Registry[]): void {
  const requests = new Counter({
    name: 'scission_stand_in_requests_total',
    help: 'Requests whose next hop was computed by a stand-in, not by the resource of the plan, by deployment',
    labelNames: ['deployment'],
    registers,
    collect: () => {
      requests.reset()
      for (const { deployment, count } of standIns()) requests.inc({ deployment }, count)
    },
  })
  const degraded = new Gauge({
    name: 'scission_deployment_degraded',
    help: '1 while a stand-in computes every request of the deployment behind this resource',
    labelNames: ['deployment'],
    registers,
    collect: () => {
      degraded.reset()
      for (const one of standIns()) degraded.set({ deployment: one.deployment }, Number(one.degraded))
    },
  })
}
