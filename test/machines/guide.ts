/** The commands that docs/guides/own-machines.md gives for other machines, with the addresses of a lab. */
import { blocksOf, commandsOf } from '../support/markdown.ts'

const GUIDE = 'docs/guides/own-machines.md'

/** @param values what stands for `$PASSWORD` and for `gateway.example`, by `$PASSWORD` and `gateway`. */
function wordsOf(ending: RegExp, values: Readonly<Record<string, string>>): string[] {
  const blocks = blocksOf(GUIDE).filter(({ notRun }) => notRun === 'other machines')
  const command = blocks.flatMap(commandsOf).find((one) => ending.test(one))
  if (command === undefined) throw new Error(`${GUIDE} has no command like ${ending}`)
  const value = (name: string) => {
    const found = values[name]
    if (found === undefined) throw new Error(`${GUIDE}: what is ${name}?`)
    return found
  }
  const here = command
    .replaceAll(/([a-z]+)\.example/g, (_all, host: string) => value(host))
    .replaceAll(/"?\$([A-Z]+)"?/g, (_all, name: string) => value(name))
  return here.split(/\s+/)
}

/** The settings that the guide gives to a service. */
export function guideSettings(
  service: 'benchmark' | 'planner' | 'inference',
  values: Readonly<Record<string, string>>,
): Record<string, string> {
  const words = wordsOf(new RegExp(`node dist/services/${service}/main\\.js$`), values)
  const settings = words.filter((word) => /^[A-Z_]+=/.test(word))
  return Object.fromEntries(
    settings.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  )
}

/** The options that the guide gives to Redis. */
export const guideRedisOptions = (values: Readonly<Record<string, string>>): string[] =>
  wordsOf(/^redis-server /, values).slice(1)
