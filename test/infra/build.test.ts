import { execFile, execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { compiledModule, threadModule, withLoader } from '../../shared/platform/processes/child-module.ts'

const { build } = (await import(pathToFileURL(path.resolve('infra/start/build.mjs')).href)) as {
  build: (root: string) => Promise<string>
}

let root: string
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'scission-build-'))
  put(
    'services/sum/main.ts',
    "import { two } from '../../shared/two.ts'\nconst one: number = 1\nconsole.log(one + two)\n",
  )
  put('shared/two.ts', 'export const two = 2\n')
  put('shared/three.ts', 'export const three = 3\n')
  put('infra/default.json', '{"a":1}')
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(root, { recursive: true, force: true })
})

function put(file: string, content: string): void {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
  writeFileSync(path.join(root, file), content)
}
const run = (folder: string) =>
  execFileSync(process.execPath, [path.join(folder, 'services/sum/main.js')], { encoding: 'utf8' })

describe('the compiled code', () => {
  it('runs without any loader, with the files that lie beside it', async () => {
    const folder = await build(root)
    expect(run(folder)).toBe('3\n')
    expect(readFileSync(path.join(folder, 'infra/default.json'), 'utf8')).toBe('{"a":1}')
  })

  it('stands where it was asked for, also when the folders of the repository are links', async () => {
    const elsewhere = path.join(root, 'a', 'b', 'services')
    mkdirSync(path.dirname(elsewhere), { recursive: true })
    renameSync(path.join(root, 'services'), elsewhere)
    symlinkSync(elsewhere, path.join(root, 'services'))
    expect(run(await build(root))).toBe('3\n')
  })

  it('follows the sources, and is left alone where they did not change', async () => {
    const folder = await build(root)
    put('shared/two.ts', 'export const two = 40\n')
    expect(await build(root)).toBe(folder)
    expect(run(folder)).toBe('41\n')
    const files = () =>
      readdirSync(folder, { recursive: true }).map((name) => path.join(folder, String(name)))
    const inodes = () => files().map((file) => [file, statSync(file).ino])
    const before = inodes()
    await build(root)
    expect(inodes()).toEqual(before)
  })

  it('has the jobs of processes of their own together with all they import, what they share only once', async () => {
    put('shared/sum-job.ts', "import { two } from './two.ts'\nexport const sum = [2, two]\n")
    put(
      'shared/platform/processes/limited-child-entry.ts',
      "import { two } from '../../two.ts'\nexport const entry = [two]\n",
    )
    put('shared/two.ts', 'export const two = { two: 2 }\n')
    const folder = await build(root)
    expect(existsSync(path.join(folder, 'shared/two.js'))).toBe(false)
    const load = (file: string) => import(pathToFileURL(path.join(folder, file)).href)
    const { sum } = (await load('shared/sum-job.js')) as { sum: unknown[] }
    const { entry } = (await load('shared/platform/processes/limited-child-entry.js')) as { entry: unknown[] }
    expect(sum[1]).toBe(entry[0])
  })

  it('has the services together with all they import, each module still with the URL of its own place', async () => {
    put(
      'services/url/main.ts',
      "import { url } from '../../shared/platform/url.ts'\nexport default [url, import.meta.url]\n",
    )
    put('shared/platform/url.ts', 'export const url = import.meta.url\n')
    const folder = await build(root)
    expect(existsSync(path.join(folder, 'shared'))).toBe(false)
    const place = (file: string) => pathToFileURL(path.join(folder, file)).href
    const { default: urls } = (await import(place('services/url/main.js'))) as { default: string[] }
    expect(urls).toEqual([place('shared/platform/url.js'), place('services/url/main.js')])
  })

  it('keeps the bundles of the build before for a while, and then no longer', async () => {
    const chunks = path.join(await build(root), 'chunks')
    const first = readdirSync(chunks)
    put('shared/two.ts', 'export const two = 40\n')
    await build(root)
    expect(readdirSync(chunks)).toEqual(expect.arrayContaining(first))
    for (const name of first) utimesSync(path.join(chunks, name), 0, 0)
    put('shared/two.ts', 'export const two = 400\n')
    await build(root)
    expect(readdirSync(chunks).length).toBeGreaterThan(0)
    expect(readdirSync(chunks).filter((name) => first.includes(name))).toEqual([])
  })

  it('is whole where the clock is hours ahead of that of the disk', async () => {
    const ahead = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 5 * 3_600_000)
    const folder = await build(root).finally(() => ahead.mockRestore())
    expect(run(folder)).toBe('3\n')
  })

  it('is whole when several processes make it at once', async () => {
    const script = `import(${JSON.stringify(pathToFileURL(path.resolve('infra/start/build.mjs')).href)}).then(({ build }) => build(${JSON.stringify(root)}))`
    const others = [1, 2].map(() => promisify(execFile)(process.execPath, ['-e', script]))
    await Promise.all([build(root), build(root), ...others])
    expect(run(await build(root))).toBe('3\n')
  })

  it('is not made of a source that cannot be compiled, which is named', async () => {
    put('shared/two.ts', 'export const = 2\n')
    await expect(build(root)).rejects.toThrow(/shared\/two\.ts/)
  })
})

describe('a process of its own', () => {
  const module = new URL('../../shared/platform/processes/limited-child-entry.ts', import.meta.url)

  it('is compiled code where there is some of the same source, and goes through tsx where not', async () => {
    vi.stubEnv('SCISSION_BUILD', undefined)
    expect(compiledModule(module)).toBeUndefined()
    expect(decodeURIComponent(threadModule(module).href)).toContain(`await import("${module.href}")`)
    const folder = await build(path.resolve('.'))
    vi.stubEnv('SCISSION_BUILD', folder)
    expect(compiledModule(module)?.href).toBe(
      pathToFileURL(path.join(folder, 'shared/platform/processes/limited-child-entry.js')).href,
    )
    // Not part of it.
    expect(compiledModule(new URL(import.meta.url))).toBeUndefined()
  })

  it('gets the loader once where it needs it, and not where it is compiled', () => {
    const tsx = ['--import', 'file:///x/node_modules/tsx/dist/loader.mjs']
    expect(withLoader(['--no-warnings', ...tsx], false)).toEqual(['--no-warnings', ...tsx])
    expect(withLoader(['--no-warnings', ...tsx], true)).toEqual(['--no-warnings'])
    expect(withLoader(['--no-warnings', tsx.join('=')], true)).toEqual(['--no-warnings'])
    expect(withLoader(['--no-warnings'], false)).toEqual([
      '--no-warnings',
      '--import',
      expect.stringMatching(/tsx/),
    ])
  })
})
