/** docs/reference/metrics.md: what `/metrics` of the services holds. */
import { Registry } from 'prom-client'
import { z } from 'zod'
import { addConditionMetrics } from '../../../shared/platform/condition-metrics.ts'
import { createMetrics } from '../../../services/inference/api/metrics.ts'
import { Statistics } from '../../../services/inference/api/request-statistics.ts'
import { createApp } from '../../../shared/platform/http-server/app.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { code, page, table } from './markdown.ts'

const INTRODUCTION = `Each service answers \`GET /metrics\` in Prometheus' text format. [Watch it with Prometheus](../guides/prometheus.md) shows
how to scrape and what to ask.

\`\`\`sh
curl -sf http://127.0.0.1:8090/metrics | grep '^# HELP scission_'
\`\`\``

const DEFAULTS = `## Process and runtime

All services also have prom-client's default metrics: \`process_cpu_seconds_total\`, \`process_resident_memory_bytes\`,
\`process_start_time_seconds\`, \`nodejs_eventloop_lag_seconds\`, \`nodejs_heap_size_used_bytes\` and others. On Linux there are
more of them (open file descriptors) than elsewhere.`

const Metric = z.object({
  name: z.string(),
  help: z.string(),
  type: z.string(),
  labelNames: z.array(z.string()),
})
type Metric = z.infer<typeof Metric>

export function metricsPage(): string {
  const common = ofService(new Registry())
  const inference = ofService(
    createMetrics({
      statistics: new Statistics(),
      executor: () => ({ threads: [], processes: [], stages: [] }),
      incomplete: () => 0,
      standIns: () => [],
      conditions: NO_CONDITIONS,
    }),
  )
  const planner = new Registry()
  addConditionMetrics(planner, NO_CONDITIONS)
  const ofPlanner = withoutCommon(ofService(planner), common)
  const own = withoutCommon(inference, common)
  return page(
    'Metrics',
    INTRODUCTION,
    '## All services',
    metricsTable(common),
    '## Inference service',
    'The model of a deployment is its id, that of a layer range `model:from-to`. The phases are those of the protocol’s ' +
      'statistics: `queue`, `compute_input`, `compute_infer`, `compute_output`.',
    metricsTable(own),
    '## Planner',
    'The kinds of [conditions](../explanation/deployments.md#conditions) are `lost-machine`, `open-breaker`, `stand-in`, ' +
      '`prediction-left` and `wrong-machine`.',
    metricsTable(ofPlanner),
    DEFAULTS,
  )
}

const NO_CONDITIONS = { active: () => 0, began: () => 0 }

const withoutCommon = (metrics: readonly Metric[], common: readonly Metric[]) =>
  metrics.filter(({ name }) => !common.some((metric) => metric.name === name))

/** Our metrics of a service that was given this registry. */
function ofService(metrics: Registry): Metric[] {
  createApp({
    name: 'documentation',
    log: createLog('documentation', 'silent'),
    routes: [],
    facts: () => ({}),
    ready: async () => undefined,
    metrics,
  })
  const all = z.array(Metric).parse(metrics.getMetricsAsArray())
  return all.filter(({ name }) => name.startsWith('scission_'))
}

const metricsTable = (metrics: readonly Metric[]) =>
  table(
    ['metric', 'type', 'labels', 'meaning'],
    metrics.map(({ name, type, labelNames, help }) => [
      code(name),
      type,
      labelNames.map(code).join(', '),
      help,
    ]),
  )
