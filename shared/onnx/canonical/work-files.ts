/**
 * Temporary model files in the model's folder: ONNX Runtime resolves external data relative to the model file. Their names
 * hold the process id, so that a parent can remove the files of a child that was killed.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { OWN_MARK } from '../../contracts/file-names.ts'

const PREFIX = OWN_MARK
/** Prefix of temporary folders elsewhere, for files that must not be in the model's folder. */
const FOLDER_PREFIX = 'scission-optimise-'

/** Makes names unique: several analyses may run in one process at the same time. */
let count = 0

/** Writes `content` to a file in the model's folder that exists until `use` has ended. */
export async function withWorkFile<T>(
  dir: string,
  content: Uint8Array,
  use: (file: string) => Promise<T>,
): Promise<T> {
  const file = path.join(dir, `${PREFIX}${process.pid}-${count++}.onnx`)
  fs.writeFileSync(file, content)
  try {
    return await use(file)
  } finally {
    fs.rmSync(file, { force: true })
  }
}

/** Makes a folder among the system's temporary files; the caller removes it. */
export function makeWorkFolder(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), `${FOLDER_PREFIX}${process.pid}-`))
}

/** Removes the files and folders of the process `pid` in `dir` and among the temporary files. */
export function removeWorkFiles(dir: string, pid: number): void {
  removeAll(dir, `${PREFIX}${pid}-`)
  removeAll(os.tmpdir(), `${FOLDER_PREFIX}${pid}-`)
}

function removeAll(folder: string, prefix: string): void {
  for (const name of fs.readdirSync(folder))
    if (name.startsWith(prefix)) fs.rmSync(path.join(folder, name), { recursive: true, force: true })
}
