/**
 * NVIDIA's tritonclient against the inference service. It needs a Python with `tritonclient[http]`: `python3`, or the one
 * that SCISSION_TEST_PYTHON names. Without one the test is skipped and says so.
 */
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { branchedModel, everyTypeModel } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'

const python = process.env['SCISSION_TEST_PYTHON'] ?? 'python3'
const found = spawnSync(python, ['-c', 'import ml_dtypes, tritonclient.http']).status === 0
if (!found) process.stdout.write(`skipped: ${python} has no tritonclient[http]\n`)

describe.skipIf(!found)('tritonclient', () => {
  const toy = withToyService([branchedModel('a'), everyTypeModel('b')])

  it('finds everything as on a Triton server', async () => {
    const script = fileURLToPath(new URL('./triton-client.py', import.meta.url))
    const { stdout, stderr } = await promisify(execFile)(python, [
      script,
      new URL(toy.service.url).host,
    ]).catch((error: { stdout: string; stderr: string }) => error)
    expect(`${stdout}${stderr}`.trim()).toBe('OK')
  })
})
