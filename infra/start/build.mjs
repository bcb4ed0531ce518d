/**
 * Compiles the services, infra/ and what they share to JavaScript, under node_modules or where `npm run build` is told
 * (`node infra/start/build.mjs dist`), so that starting a process does not compile anything and does not load a compiler: this
 * product starts many, and each starts two to three times as fast. Types are not checked here (`npm run typecheck`).
 * The build is used as long as the sources have the same content as when it was made.
 *
 * Every module with which a process or a thread starts is bundled with all that it imports, packages too, so that it opens a
 * few files instead of hundreds: a service is ready after 0.40 to 0.57 s of CPU time instead of 0.68 to 1.03 (three services,
 * three interleaved runs each), and a job that measures after 0.13 s instead of 0.27, of which Node and ONNX Runtime take
 * 0.105. Bundles lie in one folder, whose files share what several of them import; at the place of each entry is a module
 * that re-exports its bundle.
 *
 * Several processes may do this at once: each file is put in its place whole, and the digest of the sources last. Within a
 * process one build follows the other: esbuild is one child of it, and stopping that leaves other builds without an answer.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { sayWhileWaiting } from './waiting.mjs'

const FOLDERS = ['services', 'shared', 'infra']
/** The modules that processes and threads start with, and the jobs that they load. */
const ENTRIES = [
  /(-job|limited-child-entry|[-/]worker)\.ts$/,
  /^(services|infra)\/.+\/main\.ts$/,
  /^infra\/test\.ts$/,
  /^infra\/start\/redis\/(emulated|private)\.ts$/,
]
/** Packages that load binaries from their own folder, and one that only `npm test` has. */
const EXTERNAL = ['onnxruntime-node', '@toondepauw/node-zstd', 'lua-redis-wasm', 'msgpackr-extract', 'vitest']
/** Packages that are CommonJS call it for Node's own modules. */
const REQUIRE =
  "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"
const CHUNKS = 'chunks'
/** Another process may be about to start with those of the build before. */
const CHUNK_KEPT_MS = 3_600_000
const LOCKFILE = 'package-lock.json'
const DIGEST = 'digest'

/** The end of the last build begun in this process, well or not. */
let last = Promise.resolve()

/**
 * @param {string} root the repository.
 * @param {string} [folder] below a node_modules or beside one.
 * @param {boolean} [quiet] whether nothing is said of it.
 * @returns {Promise<string>} the folder that holds `services/…/main.js` and the rest.
 * @throws what keeps it from being written.
 */
export function build(root, folder = path.join(root, 'node_modules/.cache/scission'), quiet = true) {
  const mine = last.then(() => buildNow(root, folder, quiet))
  // The caller gets the error.
  last = mine.catch(() => {})
  return mine
}

async function buildNow(root, folder, quiet) {
  const sources = FOLDERS.filter((name) => existsSync(path.join(root, name)))
    .flatMap((name) =>
      readdirSync(path.join(root, name), { recursive: true }).map((file) => path.join(name, file)),
    )
    .filter((file) => /\.(ts|json)$/.test(file))
  const digest = digestOf(root, sources)
  const digestFile = path.join(folder, DIGEST)
  if (existsSync(digestFile) && readFileSync(digestFile, 'utf8') === digest) return folder
  const work = () => bundle(root, folder, sources.filter(isEntry))
  await (quiet ? work() : sayWhileWaiting('compiling (once for these sources)', work))
  for (const file of sources.filter((name) => name.endsWith('.json')))
    write(path.join(folder, file), readFileSync(path.join(root, file)))
  write(path.join(folder, 'package.json'), '{"type":"module"}')
  write(digestFile, digest)
  return folder
}

function isEntry(file) {
  const name = file.replaceAll(path.sep, '/')
  return ENTRIES.some((pattern) => pattern.test(name))
}

/** A change of this compiler changes all that it makes, and one of the lockfile the packages that are bundled. */
function digestOf(root, sources) {
  const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)))
  const lockfile = existsSync(path.join(root, LOCKFILE)) ? [LOCKFILE] : []
  for (const file of [...sources, ...lockfile])
    hash.update(`\0${file}\0`).update(readFileSync(path.join(root, file)))
  return hash.digest('hex')
}

async function bundle(root, folder, entryPoints) {
  const esbuild = await import('esbuild')
  try {
    const { outputFiles, metafile } = await esbuild.build({
      entryPoints,
      absWorkingDir: root,
      // Files stand where `root` says, also when a folder in it is a link to elsewhere.
      preserveSymlinks: true,
      outbase: root,
      outdir: folder,
      write: false,
      bundle: true,
      // The error says what is wrong.
      logLevel: 'silent',
      format: 'esm',
      platform: 'node',
      target: 'node20',
      external: EXTERNAL,
      // A module that several entries share stays one: an error that a job throws is of the class that its starter knows.
      splitting: true,
      metafile: true,
      entryNames: `${CHUNKS}/[name]-[hash]`,
      chunkNames: `${CHUNKS}/[hash]`,
      banner: { js: REQUIRE },
      plugins: [{ name: 'own urls', setup: (plugins) => ownUrls(plugins, root) }],
    })
    for (const { path: file, contents } of outputFiles) write(file, contents)
    // An entry is put in place after what it imports.
    for (const [output, { entryPoint, exports }] of Object.entries(metafile.outputs))
      if (entryPoint !== undefined)
        write(
          path.join(folder, entryPoint.replace(/\.ts$/, '.js')),
          reexport(
            path.relative(path.dirname(entryPoint), path.relative(folder, path.join(root, output))),
            exports,
          ),
        )
    const own = outputFiles.map(({ path: file }) => path.basename(file))
    removeOldChunks(path.join(folder, CHUNKS), new Set(own))
  } finally {
    await esbuild.stop()
  }
}

/** @param own names of those of this build: by this clock they may be old, if the disk has another. */
function removeOldChunks(folder, own) {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder).filter((one) => !own.has(one))) {
    const file = path.join(folder, name)
    // Gone already: another process tidies up as well.
    const { mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? {}
    if (mtimeMs !== undefined && Date.now() - mtimeMs > CHUNK_KEPT_MS) rmSync(file, { force: true })
  }
}

/**
 * In a bundle, a module of ours still has the URL of its own place: others are found from there.
 * @param {import('esbuild').PluginBuild} plugins
 * @param {string} root
 */
function ownUrls(plugins, root) {
  plugins.onLoad({ filter: /\.ts$/ }, ({ path: file }) => {
    const source = readFileSync(file, 'utf8')
    if (!file.startsWith(root) || !source.includes('import.meta.url')) return undefined
    const own = path.relative(root, file).replaceAll(path.sep, '/').replace(/\.ts$/, '.js')
    const url = `new URL(${JSON.stringify(`../${own}`)}, import.meta.url).href`
    return { contents: source.replaceAll('import.meta.url', url), loader: 'ts' }
  })
}

/** @param {string} file the bundle, relative to the entry. @param {string[]} names that the entry exports. */
function reexport(file, names) {
  const from = JSON.stringify(file.replaceAll(path.sep, '/'))
  return names.length === 0 ? `import ${from}\n` : `export { ${names.join(', ')} } from ${from}\n`
}

function write(file, content) {
  mkdirSync(path.dirname(file), { recursive: true })
  const partial = `${file}.${process.pid}`
  writeFileSync(partial, content)
  renameSync(partial, file)
}

// Node resolves the links of a module's URL, but not of the argument.
const program = process.argv[1] ?? ''
if (existsSync(program) && realpathSync(program) === fileURLToPath(import.meta.url)) {
  const [, , folder] = process.argv
  console.log(`compiled: ${await build(path.resolve('.'), folder && path.resolve(folder))}`)
}
