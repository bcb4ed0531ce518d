/**
 * Finds the code of modules that run in a process or a thread of their own:
 *
 *   this process runs compiled code                        the JavaScript beside it
 *   it runs source, and SCISSION_BUILD names a build of it   the JavaScript in that build
 *   it runs source otherwise                               the TypeScript, through tsx
 *
 * SCISSION_BUILD is not for users: infra/start/install.mjs sets it for tests and benchmarks.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = new URL('../../..', import.meta.url)
const fromSource = import.meta.url.endsWith('.ts')

/**
 * @param module as its `.ts` URL: `new URL('./my-job.ts', import.meta.url)`.
 * @returns its JavaScript; undefined if there is none, so that tsx is needed.
 */
export function compiledModule(module: URL): URL | undefined {
  const { href } = module
  if (!fromSource) return new URL(href.replace(/\.ts$/, '.js'))
  const build = process.env['SCISSION_BUILD']
  if (!build || !href.startsWith(root.href)) return undefined
  const js = new URL(href.slice(root.href.length).replace(/\.ts$/, '.js'), pathToFileURL(`${build}/`))
  return existsSync(fileURLToPath(js)) ? js : undefined
}

/** The entry of a worker thread. On Node 20 a thread does not inherit tsx's loader, so it registers that first. */
export function threadModule(module: URL): URL {
  const loader = new URL('./register-tsx.mjs', import.meta.url).href
  const source = `import ${JSON.stringify(loader)}; await import(${JSON.stringify(module.href)})`
  return compiledModule(module) ?? new URL(`data:text/javascript,${encodeURIComponent(source)}`)
}

/**
 * @param options for `node`, as this process was given them.
 * @returns the same options with tsx's loader once, or without it if the code to run is compiled.
 */
export function withLoader(options: readonly string[], compiled: boolean): string[] {
  if (compiled) return options.filter((option, index) => !isTsx(option) && !isValueTsx(options[index + 1]))
  if (options.some(isTsx)) return [...options]
  return [...options, '--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href]
}

const isTsx = (option: string) => option.includes('tsx')
/** Tells whether this option is the value of the one before it: `--import file:///…/tsx/dist/loader.mjs`. */
const isValueTsx = (option: string | undefined) =>
  option !== undefined && !option.startsWith('-') && isTsx(option)
