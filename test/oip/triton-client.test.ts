/**
 * NVIDIA's tritonclient against the inference service. Without a Python with `tritonclient[http]` the test is
 * skipped and says so.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { branchedModel, everyTypeModel } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import { findPython, noPython } from '../support/python.ts'

const MODULES = 'ml_dtypes, tritonclient.http'
const python = findPython(MODULES)
if (!python) process.stdout.write(`skipped: ${noPython(MODULES)}\n`)

describe.skipIf(!python)('tritonclient', () => {
  const toy = withToyService([branchedModel('a'), everyTypeModel('b')])

  it('finds everything as on a Triton server', async () => {
    const script = fileURLToPath(new URL('./triton-client.py', import.meta.url))
    const { stdout, stderr } = await promisify(execFile)(python ?? '', [
      script,
      new URL(toy.service.url).host,
    ]).catch((error: { stdout: string; stderr: string }) => error)
    expect(`${stdout}${stderr}`.trim()).toBe('OK')
  })
})
