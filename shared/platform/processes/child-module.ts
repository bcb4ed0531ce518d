/**
 * Modules of this repository that run in a process or a thread of their own, and how those are started:
 *
 *   in compiled code (a build, or what infra/start/install.mjs compiled)   the JavaScript beside it, as it is
 *   from source, while SCISSION_BUILD names a build of that source   the JavaScript there
 *   from source otherwise                                            the TypeScript, through tsx
 *
 * SCISSION_BUILD is no setting for people: infra/start/install.mjs sets it for tests and benchmarks.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = new URL('../../..', import.meta.url)
const fromSource = import.meta.url.endsWith('.ts')

/**
 * @param module as its `.ts` URL: `new URL('./my-job.ts', import.meta.url)`.
 * @returns its JavaScript; undefined where there is none, and tsx is needed.
 */
export function compiledModule(module: URL): URL | undefined {
  const { href } = module
  if (!fromSource) return new URL(href.replace(/\.ts$/, '.js'))
  const build = process.env['SCISSION_BUILD']
  if (!build || !href.startsWith(root.href)) return undefined
  const js = new URL(href.slice(root.href.length).replace(/\.ts$/, '.js'), pathToFileURL(`${build}/`))
  return existsSync(fileURLToPath(js)) ? js : undefined
}

/** What a worker thread is started with: on Node 20 it does not inherit tsx's loader, so a module beside it registers that. */
export function threadModule(module: URL): URL {
  return compiledModule(module) ?? new URL(module.href.replace(/\.ts$/, '-tsx.mjs'))
}

/**
 * @param options for `node`, as this process was given them.
 * @returns the same with tsx's loader where a process needs it, once, and without it where what runs is compiled.
 */
export function withLoader(options: readonly string[], compiled: boolean): string[] {
  if (compiled) return options.filter((option, index) => !isTsx(option) && !isValueTsx(options[index + 1]))
  if (options.some(isTsx)) return [...options]
  return [...options, '--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href]
}

const isTsx = (option: string) => option.includes('tsx')
/** Of the option before it: `--import file:///…/tsx/dist/loader.mjs`, not `--import=file:///…`. */
const isValueTsx = (option: string | undefined) =>
  option !== undefined && !option.startsWith('-') && isTsx(option)
