/** `scission config [service]`: every setting, its value now, its default and the reason for it. */
import type { Command } from 'commander'
import {
  BENCHMARK_SETTINGS,
  INFERENCE_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../../shared/platform/service/service-config.ts'
import { hidePasswords } from '../../../shared/platform/hidden-passwords.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { tableOf } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'

const TABLES = {
  benchmark: BENCHMARK_SETTINGS,
  planner: PLANNER_SETTINGS,
  inference: INFERENCE_SETTINGS,
} as const
type ServiceName = keyof typeof TABLES
export const SERVICE_NAMES = Object.keys(TABLES) as ServiceName[]

export function defineConfig(command: Command, context: Context): void {
  command.addOption(csvOption()).action((service: string | undefined) => {
    const settings = namesOf(service).flatMap((name) => settingsOf(name))
    context.printTable(settings, (shown) =>
      tableOf(
        shown,
        {
          service: (one) => one.service,
          variable: ({ env }) => env,
          value: ({ value }) => value,
          default: ({ fallback }) => fallback,
          why: ({ why }) => why,
        },
        { expendable: ['why', 'default'] },
      ),
    )
  })
}

/** @throws ScissionError badRequest if there is no such service. */
function namesOf(service: string | undefined): ServiceName[] {
  if (service === undefined) return SERVICE_NAMES
  const found = SERVICE_NAMES.filter((name) => name === service)
  if (found.length > 0) return found
  throw new ScissionError('badRequest', `config ${service}: the service must be ${SERVICE_NAMES.join(', ')}`)
}

function settingsOf(service: ServiceName) {
  const values: Record<string, unknown> = readConfig(TABLES[service])
  return Object.entries(TABLES[service]).map(([key, { env, fallback, why }]) => {
    const value = values[key]
    return {
      service,
      env,
      value: typeof value === 'string' ? hidePasswords(value) : JSON.stringify(value),
      fallback: fallback ?? '',
      why,
    }
  })
}
