/**
 * The settings of all services: read once from the environment at the start, validated, then passed down as a value.
 * The tables (settings/) hold the variable, its default and the reason for it; `scission config` prints them.
 */
import type { z } from 'zod'
import { ScissionError } from '../errors.ts'
import { plainWords } from '../plain-words.ts'
import { hidePasswordOf, hidePasswords } from '../hidden-passwords.ts'
import { Secret } from '../access/secret.ts'
import { BENCHMARK_SETTINGS } from './settings/benchmark-settings.ts'
import { COMMON_SETTINGS } from './settings/common-settings.ts'
import { INFERENCE_SETTINGS, type Routes } from './settings/inference-settings.ts'
import { PLANNER_SETTINGS } from './settings/planner-settings.ts'
import type { Setting } from './settings/setting.ts'

export { BENCHMARK_SETTINGS, COMMON_SETTINGS, INFERENCE_SETTINGS, PLANNER_SETTINGS, type Routes }

/** A value for messages: a URL, right or wrong, may hold a password. */
const shown = (env: string, text: string | undefined) =>
  text === undefined ? text : env.endsWith('_URL') ? hidePasswordOf(text) : hidePasswords(text)

/** zod says of forms that exclude each other only that none fits: the last one is what the setting is for. */
function faultText(issue: z.core.$ZodIssue): string {
  const last = issue.code === 'invalid_union' ? issue.errors.at(-1)?.[0] : undefined
  return plainWords((last ?? issue).message)
}

type Settings = Record<string, Setting<z.ZodType>>
export type ConfigOf<S extends Settings> = { readonly [K in keyof S]: z.infer<S[K]['schema']> }
export type BenchmarkConfig = ConfigOf<typeof BENCHMARK_SETTINGS>
export type PlannerConfig = ConfigOf<typeof PLANNER_SETTINGS>
export type InferenceConfig = ConfigOf<typeof INFERENCE_SETTINGS>

/**
 * Reads and validates the settings in `table`.
 * @throws ScissionError badRequest naming every variable that is wrong, its value and what is allowed.
 */
export function readConfig<S extends Settings>(table: S, env: NodeJS.ProcessEnv = process.env): ConfigOf<S> {
  const values: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [key, entry] of Object.entries(table)) {
    if (entry.secret) {
      values[key] = Secret.from(entry.env, env)
      continue
    }
    const text = env[entry.env] ?? entry.fallback
    const parsed = entry.schema.safeParse(text)
    if (parsed.success) values[key] = parsed.data
    else
      faults.push(
        `${entry.env}=${JSON.stringify(shown(entry.env, text))}: ${parsed.error.issues.map(faultText).join('; ')}`,
      )
  }
  if (faults.length > 0)
    throw new ScissionError('badRequest', `environment: ${faults.join(' · ')}`, { faults })
  return withPassword(values) as ConfigOf<S>
}

/** The URL of Redis with the password that stands elsewhere. */
function withPassword(values: Record<string, unknown>): Record<string, unknown> {
  const { redisUrl, redisPassword } = values
  if (typeof redisUrl !== 'string' || !(redisPassword instanceof Secret)) return values
  const url = new URL(redisUrl)
  url.password = encodeURIComponent(redisPassword.text)
  return { ...values, redisUrl: url.href }
}
