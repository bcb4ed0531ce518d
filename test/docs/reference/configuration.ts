/** docs/reference/configuration.md: the table that `scission config` prints, without the values of this machine. */
import { memoryBytes } from '../../../shared/platform/usable-memory.ts'
import { z } from 'zod'
import {
  BENCHMARK_SETTINGS,
  COMMON_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
} from '../../../shared/platform/service/service-config.ts'
import { code, page, table } from './markdown.ts'

interface Setting {
  env: string
  schema: z.ZodType
  fallback?: string | undefined
  why: string
}
type Settings = Readonly<Record<string, Setting>>

const INTRODUCTION = `Each service reads its settings from the environment once, at start. A value that is not allowed ends the start with a
message that names the variable. \`npx scission config\` prints all of them with the values that hold now, and
\`npx scission config inference\` those of one service.

\`\`\`sh
npx scission config planner
\`\`\``

const OTHERS = `## Command line

| variable | default | meaning |
|---|---|---|
| \`SCISSION_PORT_BASE\` | the only system that runs, else 8080 | the system of this computer whose services \`scission\` calls: the one that was started with this \`--port-base\` |
| \`SCISSION_BENCHMARK_URL\` | as that system says | the benchmark service that \`scission\` calls |
| \`SCISSION_PLANNER_URL\` | as that system says | the planner service that \`scission\` calls |
| \`SCISSION_DATA\` | \`.scission\` | the data folder, in which systems say where they run |
| \`NO_COLOR\` | | any value: print without colours |`

export function configurationPage(): string {
  const common = new Set<string>(Object.values(COMMON_SETTINGS).map(({ env }) => env))
  const own = (settings: Settings) => Object.entries(settings).filter(([, { env }]) => !common.has(env))
  return page(
    'Configuration',
    INTRODUCTION,
    '## All services',
    settingsTable(Object.entries(COMMON_SETTINGS)),
    '## Benchmark service',
    settingsTable(own(BENCHMARK_SETTINGS)),
    '## Planner service',
    settingsTable(own(PLANNER_SETTINGS)),
    '## Inference service',
    settingsTable(own(INFERENCE_SETTINGS)),
    OTHERS,
  )
}

const settingsTable = (settings: readonly [string, Setting][]) =>
  table(
    ['variable', 'default', 'allowed', 'why'],
    settings.map(([, { env, schema, fallback, why }]) => [
      code(env),
      defaultOf(env, fallback),
      allowed(schema),
      why,
    ]),
  )

/** Some defaults are made from the machine: the page says how. */
function defaultOf(env: string, fallback: string | undefined): string {
  if (env === INFERENCE_SETTINGS.resource.env) return 'the host’s name'
  if (fallback === String(Math.floor(memoryBytes() / 2))) return 'half of the memory'
  if (fallback === String(Math.floor(memoryBytes() / 4))) return 'a quarter of the memory'
  return fallback === undefined || fallback === '' ? '' : code(fallback)
}

const JsonType = z.object({
  type: z.string().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
})

/** The allowed values in a few words. */
function allowed(schema: z.ZodType): string {
  const {
    type,
    enum: values,
    minimum,
    maximum,
  } = JsonType.parse(z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' }))
  if (values) return values.map(code).join(', ')
  if (type === 'array') return 'comma-separated list'
  if (type === 'object') return 'JSON'
  if (type !== 'integer' && type !== 'number') return 'text'
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum
  const kind = type === 'integer' ? 'whole number' : 'number'
  return most === undefined ? `${kind} ≥ ${minimum}` : `${kind} ${minimum} – ${most}`
}
