/**
 * NVIDIA's tritonclient against the inference service. It needs a Python with `tritonclient[http]`: the one that
 * SCISSION_TEST_PYTHON names, that of install-clients.sh, or `python3`. Without one the test is skipped and says so.
 */
import { execFile, spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { branchedModel, everyTypeModel } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import { CLIENTS } from '../support/material.ts'

const pythons = [
  process.env['SCISSION_TEST_PYTHON'] ?? 'python3',
  path.join(CLIENTS.path, 'python/bin/python'),
  'python3',
]
const python = pythons.find(
  (one) => spawnSync(one, ['-c', 'import ml_dtypes, tritonclient.http']).status === 0,
)
if (!python) process.stdout.write(`skipped: no tritonclient[http] in ${pythons.join(', ')}\n`)

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
