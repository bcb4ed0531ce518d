/**
 * Modules as the product runs them: bundled, in plain JavaScript. The benchmarks themselves run from source, where every
 * function is wrapped to keep its name; small functions that are called often take half as long again there.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

/** @param file beside this one. */
export async function importCompiled<T>(file: string): Promise<T> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  try {
    const outfile = path.join(folder, 'module.mjs')
    await build({
      entryPoints: [fileURLToPath(new URL(file, import.meta.url))],
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      logLevel: 'warning',
    })
    return (await import(pathToFileURL(outfile).href)) as T
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
