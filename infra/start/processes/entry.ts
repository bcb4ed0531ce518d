/**
 * Builds the Node arguments that start a module of this repository as a process: through tsx from source, directly from a
 * build.
 */
import { fileURLToPath } from 'node:url'
import { compiledModule, withLoader } from '../../../shared/platform/processes/child-module.ts'

/**
 * Options of this process that a child must not inherit: a debugger's port is already in use, and code to evaluate belongs
 * to this process.
 */
const NOT_INHERITED = /^--?(inspect|debug|eval|print|check|test|watch|e$|p$|c$)/

/**
 * @param entry the module's `.ts` URL; if it was compiled, the `.js` file runs.
 * @returns arguments for `node`. Loaders of this process are passed on; tsx is added under a runner that compiles in
 * another way (vitest).
 */
export function nodeArguments(entry: URL): string[] {
  const compiled = compiledModule(entry)
  const options = withLoader(withoutRefused(process.execArgv), compiled !== undefined)
  return [...options, fileURLToPath(compiled ?? entry)]
}

function withoutRefused(options: readonly string[]): string[] {
  return options.filter((option, index) => {
    const previous = options[index - 1]
    // `--eval CODE`: the value is a separate argument.
    const isValueOfRefused = !option.startsWith('-') && previous !== undefined && NOT_INHERITED.test(previous)
    return !NOT_INHERITED.test(option) && !isValueOfRefused
  })
}
