/**
 * How a module of this repository is started as a process of its own: from source through tsx, from a build
 * as is.
 */
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const fromSource = import.meta.url.endsWith('.ts')

/**
 * Options of ours that a child must not repeat: a debugger's port is taken, and code to evaluate is not its
 * own.
 */
const NOT_INHERITED = /^--?(inspect|debug|eval|print|check|test|watch|e$|p$|c$)/

/**
 * Arguments for `node` that run `entry`, written as a `.ts` URL; in a build the same module is a `.js` file.
 * Loaders of this process are passed on; under a runner that compiles by other means (vitest) tsx is added.
 */
export function nodeArguments(entry: URL): string[] {
  const file = fileURLToPath(fromSource ? entry : new URL(entry.href.replace(/\.ts$/, '.js')))
  const inherited = withoutRefused(process.execArgv)
  if (!file.endsWith('.ts') || inherited.some((option) => option.includes('tsx'))) return [...inherited, file]
  const tsx = createRequire(import.meta.url).resolve('tsx')
  return [...inherited, '--import', pathToFileURL(tsx).href, file]
}

function withoutRefused(options: readonly string[]): string[] {
  return options.filter((option, index) => {
    const previous = options[index - 1]
    // `--eval CODE`: the value follows as an argument of its own.
    const isValueOfRefused = !option.startsWith('-') && previous !== undefined && NOT_INHERITED.test(previous)
    return !NOT_INHERITED.test(option) && !isValueOfRefused
  })
}
