/**
 * Compiles the services, infra/ and what they share to JavaScript, under node_modules, so that starting a process does
 * not compile anything and does not load a compiler: this product starts many, and each starts two to three times as
 * fast. Types are not checked here (`npm run typecheck`). What is there is used as long as the sources have the
 * same content as when it was made; only files that changed are compiled again.
 *
 * Several processes may do this at once: each file is put in its place whole, and the list of digests last. Within a
 * process one follows the other: esbuild is one child of it, and whoever stops that leaves the others without an answer.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const FOLDERS = ['services', 'shared', 'infra']
const DIGESTS = 'digests.json'

/** The end of the last one begun in this process, well or not. */
let last = Promise.resolve()

/**
 * @param {string} root the repository.
 * @returns {Promise<string>} the folder that holds `services/…/main.js` and the rest.
 * @throws what keeps it from being written.
 */
export function build(root) {
  const mine = last.then(() => makeUp(root))
  last = mine.then(
    () => {},
    // Whoever asked for it is told.
    () => {},
  )
  return mine
}

/** @param {string} root @returns {Promise<string>} */
async function makeUp(root) {
  const folder = path.join(root, 'node_modules/.cache/scission')
  const digests = digestsOf(root)
  const before = readDigests(folder)
  const changed = Object.keys(digests).filter((file) => before[file] !== digests[file])
  if (changed.length === 0) return folder
  await compile(
    root,
    folder,
    changed.filter((file) => file.endsWith('.ts')),
  )
  for (const file of changed.filter((name) => name.endsWith('.json')))
    write(path.join(folder, file), readFileSync(path.join(root, file)))
  write(path.join(folder, 'package.json'), '{"type":"module"}')
  write(path.join(folder, DIGESTS), JSON.stringify(digests))
  return folder
}

/** @param {string} root @returns {Record<string, string>} file, relative → digest of its content. */
function digestsOf(root) {
  const files = FOLDERS.flatMap((folder) =>
    existsSync(path.join(root, folder))
      ? readdirSync(path.join(root, folder), { recursive: true }).map((name) =>
          path.join(folder, String(name)),
        )
      : [],
  ).filter((file) => /\.(ts|json)$/.test(file))
  return Object.fromEntries(
    files.map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(path.join(root, file)))
        .digest('hex'),
    ]),
  )
}

/** @param {string} folder @returns {Record<string, string>} */
function readDigests(folder) {
  const file = path.join(folder, DIGESTS)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
}

/** @param {string} root @param {string} folder @param {string[]} files */
async function compile(root, folder, files) {
  const esbuild = await import('esbuild')
  const { outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: files,
    outbase: root,
    outdir: folder,
    write: false,
    // Each file by itself, its imports left as they are but for their ending.
    bundle: true,
    packages: 'external',
    plugins: [{ name: 'js endings', setup: endings }],
    // What is wrong is in the error.
    logLevel: 'silent',
    format: 'esm',
    platform: 'node',
    target: 'node20',
  })
  await esbuild.stop()
  for (const { path: file, contents } of outputFiles) write(file, contents)
}

/** @param {import('esbuild').PluginBuild} plugins */
function endings(plugins) {
  plugins.onResolve({ filter: /^\.\.?\/.*\.ts$/ }, ({ path: name, kind }) =>
    kind === 'entry-point' ? undefined : { path: name.replace(/\.ts$/, '.js'), external: true },
  )
}

/** @param {string} file @param {string | Uint8Array} content */
function write(file, content) {
  mkdirSync(path.dirname(file), { recursive: true })
  const partial = `${file}.${process.pid}`
  writeFileSync(partial, content)
  renameSync(partial, file)
}
