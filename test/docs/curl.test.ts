/** docs/curl.md, run as a user would paste it, against a system of its own. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSystem, type System } from '../../infra/start/system.ts'
import { createLog } from '../../shared/platform/log.ts'
import { SCISSION } from '../support/command.ts'
import { shellScriptOf } from '../support/markdown.ts'

let folder: string
let system: System
beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'scission-docs-'))
  system = await startSystem({
    testbed: undefined,
    network: undefined,
    portBase: 0,
    dataDir: path.join(folder, 'data'),
    log: createLog('test', 'error'),
  })
})
afterAll(async () => {
  await system?.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('docs/curl.md', () => {
  it('goes from an ONNX file to an answer of the split model, command by command', async () => {
    const script = shellScriptOf('docs/curl.md')
      .replace('http://127.0.0.1:8081', system.benchmarkUrl)
      .replace('http://127.0.0.1:8082', system.plannerUrl)
    expect(script).toContain(system.benchmarkUrl)
    // In a checkout npx finds the command; here the working folder is another one.
    const prelude = `set -eu\nnpx() { shift; '${process.execPath}' '${SCISSION}' "$@"; }\n`
    writeFileSync(path.join(folder, 'script.sh'), prelude + script)
    const { stdout } = await promisify(execFile)('bash', ['script.sh'], { cwd: folder, maxBuffer: 1e8 })
    expect(stdout).toMatch(/^model [0-9a-f]{64}$/m)
    expect(stdout).toMatch(/^plan [0-9a-f]{64}\.[0-9a-f]{12}\.device\./m)
    expect(stdout).toMatch(/^serving at http/m)
    // The answer in JSON, then the header of the one in binary.
    expect(stdout.match(/"model_name"/g)?.length).toBe(2)
    expect(stdout).toContain('"binary_data_size":4000')
    expect(statSync(path.join(folder, 'boundary.bin')).size).toBeGreaterThan(1000)
  })
})
