/**
 * Compiles the services, infra/ and what they share to JavaScript, under node_modules or where `npm run build` is told
 * (`node infra/start/build.mjs dist`), so that starting a process does not compile anything and does not load a compiler: this
 * product starts many, and each starts two to three times as fast. Types are not checked here (`npm run typecheck`).
 * What is there is used as long as the sources have the same content as when it was made; only files that changed are
 * compiled again.
 *
 * What runs in a process of its own for one job (shared/platform/processes/limited-child.ts) is put together with all that it imports,
 * packages too: the one that measures starts in 130 ms of CPU time instead of 270, of which Node and ONNX Runtime take 105.
 *
 * Several processes may do this at once: each file is put in its place whole, and the list of digests last. Within a
 * process one follows the other: esbuild is one child of it, and whoever stops that leaves the others without an answer.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const FOLDERS = ['services', 'shared', 'infra']
/** Jobs of processes of their own, and what starts them. */
const JOB = /(-job|limited-child-entry)\.ts$/
/** They load binaries that lie beside them. */
const NATIVE = ['onnxruntime-node', '@toondepauw/node-zstd']
/** What several jobs import. */
const CHUNKS = 'chunks'
/** Another process may be about to start with those of the build before. */
const CHUNK_KEPT_MS = 3_600_000
const LOCKFILE = 'package-lock.json'
const DIGESTS = 'digests.json'

/** The end of the last one begun in this process, well or not. */
let last = Promise.resolve()

/**
 * @param {string} root the repository.
 * @param {string} [folder] below a node_modules or beside one.
 * @returns {Promise<string>} the folder that holds `services/…/main.js` and the rest.
 * @throws what keeps it from being written.
 */
export function build(root, folder = path.join(root, 'node_modules/.cache/scission')) {
  const mine = last.then(() => makeUp(root, folder))
  last = mine.then(
    () => {},
    // Whoever asked for it is told.
    () => {},
  )
  return mine
}

/** @param {string} root @param {string} folder @returns {Promise<string>} */
async function makeUp(root, folder) {
  const digests = digestsOf(root)
  const before = readDigests(folder)
  const changed = Object.keys(digests).filter((file) => before[file] !== digests[file])
  if (changed.length === 0) return folder
  const sources = Object.keys(digests).filter((file) => file.endsWith('.ts'))
  await compile(
    root,
    folder,
    sources.filter((file) => !JOB.test(file) && changed.includes(file)),
    sources.filter((file) => JOB.test(file)),
  )
  for (const file of changed.filter((name) => name.endsWith('.json') && name !== LOCKFILE))
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
  // What jobs are put together with.
  const lockfile = existsSync(path.join(root, LOCKFILE)) ? [LOCKFILE] : []
  return Object.fromEntries(
    [...files, ...lockfile].map((file) => [
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

/** @param {string} root @param {string} folder @param {string[]} files @param {string[]} jobs */
async function compile(root, folder, files, jobs) {
  const esbuild = await import('esbuild')
  /** @type {import('esbuild').BuildOptions & { write: false }} */
  const common = {
    absWorkingDir: root,
    outbase: root,
    outdir: folder,
    write: false,
    bundle: true,
    // What is wrong is in the error.
    logLevel: 'silent',
    format: 'esm',
    platform: 'node',
    target: 'node20',
  }
  try {
    const results = await Promise.all([
      // Each file by itself, its imports left as they are but for their ending.
      esbuild.build({
        ...common,
        entryPoints: files,
        packages: 'external',
        plugins: [{ name: 'js endings', setup: endings }],
      }),
      // What they share stays one module: an error that a job throws is of the class that its starter knows.
      esbuild.build({
        ...common,
        entryPoints: jobs,
        external: NATIVE,
        splitting: true,
        chunkNames: `${CHUNKS}/[hash]`,
      }),
    ])
    const [written, bundled] = results.map(({ outputFiles }) => outputFiles)
    const isChunk = ({ path: file }) => path.dirname(file) === path.join(folder, CHUNKS)
    // A job is put in place after what it imports.
    for (const { path: file, contents } of [
      ...written,
      ...bundled.filter(isChunk),
      ...bundled.filter((one) => !isChunk(one)),
    ])
      write(file, contents)
  } finally {
    await esbuild.stop()
  }
  removeOldChunks(path.join(folder, CHUNKS))
}

/** Those of this build were just written. @param {string} folder */
function removeOldChunks(folder) {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder)) {
    const file = path.join(folder, name)
    // Gone already: another process tidies up as well.
    const { mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? {}
    if (mtimeMs !== undefined && Date.now() - mtimeMs > CHUNK_KEPT_MS) rmSync(file, { force: true })
  }
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

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , folder] = process.argv
  console.log(`compiled: ${await build(path.resolve('.'), folder && path.resolve(folder))}`)
}
