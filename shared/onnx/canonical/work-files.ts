/**
 * Short-lived files beside the model: ONNX Runtime follows external data only from a model file in the same folder.
 * Their names carry the process id, so that a parent can clear up after a child that was killed.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const PREFIX = '.scission-'
/** Folders elsewhere, for what must not lie beside the model. */
const FOLDER_PREFIX = 'scission-optimise-'

/** Several analyses may run side by side in one process. */
let count = 0

export class WorkFiles {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
  }

  /** Writes `content` for the time that `use` takes. */
  async withFile<T>(content: Uint8Array, use: (file: string) => Promise<T>): Promise<T> {
    const file = path.join(this.dir, `${PREFIX}${process.pid}-${count++}.onnx`)
    fs.writeFileSync(file, content)
    try {
      return await use(file)
    } finally {
      fs.rmSync(file, { force: true })
    }
  }
}

/** A folder of its own among the system's temporary files; the caller removes it. */
export function makeWorkFolder(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), `${FOLDER_PREFIX}${process.pid}-`))
}

/** Removes what the process `pid` left behind in `dir` and among the temporary files. */
export function removeWorkFiles(dir: string, pid: number): void {
  removeAll(dir, `${PREFIX}${pid}-`)
  removeAll(os.tmpdir(), `${FOLDER_PREFIX}${pid}-`)
}

function removeAll(folder: string, prefix: string): void {
  for (const name of fs.readdirSync(folder))
    if (name.startsWith(prefix)) fs.rmSync(path.join(folder, name), { recursive: true, force: true })
}
