/** `scission config [service]`: every setting, its value now, its default and the reason for it. */
import { Argument, type Command } from 'commander'
import {
  BENCHMARK_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../../shared/platform/service/service-config.ts'
import { tableOf } from '../../terminal/table.ts'
import type { Context } from '../context.ts'

const TABLES = {
  benchmark: BENCHMARK_SETTINGS,
  planner: PLANNER_SETTINGS,
  inference: INFERENCE_SETTINGS,
} as const
type ServiceName = keyof typeof TABLES

export function addConfigCommand(program: Command, context: Context): void {
  program
    .command('config')
    .description('settings of the services: environment variable, value now, default, reason')
    .addArgument(new Argument('[service]', 'only of this service').choices(Object.keys(TABLES)))
    .action((service: ServiceName | undefined) => {
      const names = service ? [service] : (Object.keys(TABLES) as ServiceName[])
      const settings = names.flatMap((name) => settingsOf(name))
      context.print(settings, () =>
        tableOf(settings, {
          service: ({ service }) => service,
          variable: ({ env }) => env,
          value: ({ value }) => value,
          default: ({ fallback }) => fallback,
          why: ({ why }) => why,
        }),
      )
    })
}

function settingsOf(service: ServiceName) {
  const values: Record<string, unknown> = readConfig(TABLES[service])
  return Object.entries(TABLES[service]).map(([key, { env, fallback, why }]) => {
    const value = values[key]
    return {
      service,
      env,
      value: typeof value === 'string' ? value : JSON.stringify(value),
      fallback: fallback ?? '',
      why,
    }
  })
}
