/** `npx tsx test/data/make/main.ts`: writes test/data/models anew. A test compares what is there with what this makes. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { allFiles } from './all.ts'

const FOLDER = fileURLToPath(new URL('../models/', import.meta.url))

const files = await allFiles()
rmSync(FOLDER, { recursive: true, force: true })
for (const [name, bytes] of files) {
  const file = path.join(FOLDER, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, bytes)
}
console.log(`${files.size} files in ${path.relative(process.cwd(), FOLDER)}`)
