/**
 * How a module of this repository is started as a process of its own: from source through tsx, from a build
 * as is.
 */
import { fileURLToPath } from 'node:url'
import { compiledModule, withLoader } from '../../../shared/platform/processes/child-module.ts'

/**
 * Options of ours that a child must not repeat: a debugger's port is taken, and code to evaluate is not its
 * own.
 */
const NOT_INHERITED = /^--?(inspect|debug|eval|print|check|test|watch|e$|p$|c$)/

/**
 * Arguments for `node` that run `entry`, written as a `.ts` URL; where it is compiled, the `.js` file.
 * Loaders of this process are passed on; under a runner that compiles by other means (vitest) tsx is added.
 */
export function nodeArguments(entry: URL): string[] {
  const compiled = compiledModule(entry)
  const options = withLoader(withoutRefused(process.execArgv), compiled !== undefined)
  return [...options, fileURLToPath(compiled ?? entry)]
}

function withoutRefused(options: readonly string[]): string[] {
  return options.filter((option, index) => {
    const previous = options[index - 1]
    // `--eval CODE`: the value follows as an argument of its own.
    const isValueOfRefused = !option.startsWith('-') && previous !== undefined && NOT_INHERITED.test(previous)
    return !NOT_INHERITED.test(option) && !isValueOfRefused
  })
}
