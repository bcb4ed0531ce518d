/** Each command finds the packages that it imports: what runs without the dev packages imports none of them. */
import { readFileSync, readdirSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import path from 'node:path'
import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<
  'dependencies' | 'devDependencies' | 'scripts',
  Record<string, string>
>

/** @returns the packages that these files, and those that they import, import. */
async function packagesOf(entryPoints: string[]): Promise<string[]> {
  const { metafile } = await build({
    entryPoints,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    outdir: 'dist',
    write: false,
    metafile: true,
  })
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports)
  const names = imports.filter((one) => one.external && !isBuiltin(one.path)).map((one) => one.path)
  return [...new Set(names.map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/')))]
}

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true })
    .map((name) => path.join(folder, String(name)))
    .filter((file) => /\.(ts|mjs)$/.test(file))

describe('package.json', () => {
  it('has what every command imports as dependencies, but for those that install the others', async () => {
    const product = ['services', 'shared', 'infra']
      .flatMap(filesOf)
      .filter((file) => file !== 'infra/test.ts')
    const begun = Object.values(manifest.scripts).flatMap(
      (script) => /^node infra\/start\/install\.mjs (?!--dev)(\S+)$/.exec(script)?.[1] ?? [],
    )
    expect(begun).toContain('infra/start/main.ts')
    const imported = await packagesOf([...new Set([...product, ...begun])])
    expect(imported.length).toBeGreaterThan(10)
    expect(imported.filter((name) => !(name in manifest.dependencies))).toEqual([])
  })

  it('has nothing as a dependency that only tests import', async () => {
    const imported = await packagesOf(['services', 'shared', 'infra'].flatMap(filesOf))
    // Found through `require`: shared/platform/http-server/app.ts and shared/platform/zstd-libraries.ts.
    const required = ['swagger-ui-dist', '@toondepauw/node-zstd']
    expect(
      Object.keys(manifest.dependencies).filter((name) => ![...imported, ...required].includes(name)),
    ).toEqual([])
  })

  it('pins every version exactly', () => {
    const ranges = Object.values({ ...manifest.dependencies, ...manifest.devDependencies })
    expect(ranges.filter((range) => !/^\d+\.\d+\.\d+$/.test(range))).toEqual([])
  })
})

describe('the install step', () => {
  it("imports Node's own modules only", async () => {
    const ownModules = ['install', 'packages', 'install-lock', 'waiting'].map(
      (name) => `infra/start/${name}.mjs`,
    )
    // Imported after the install: the compiler, or the loader in its place.
    expect((await packagesOf(ownModules)).sort()).toEqual(['esbuild', 'tsx'])
  })
})
