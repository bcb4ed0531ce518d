/**
 * A client that knows of the codecs what the documentation says: NumPy packs and unpacks. Without a
 * Python with NumPy the test is skipped and says so.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { singleLayerModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import { findPython, noPython } from '../support/python.ts'

const python = findPython('numpy')
if (!python) process.stdout.write(`skipped: ${noPython('numpy')}\n`)

describe.skipIf(!python)('a client in Python', () => {
  const toy = withToyService([
    singleLayerModel('a', 'floats', toySpec('x', 'FP32', [2, 3, 5, 7]), (x) => x),
    singleLayerModel('b', 'long', toySpec('x', 'INT64', [6]), (x) => x),
  ])

  it('packs and unpacks every codec as the documentation says', async () => {
    const script = fileURLToPath(new URL('./foreign-client.py', import.meta.url))
    const example = fileURLToPath(new URL('../../examples/python', import.meta.url))
    const { stdout, stderr } = await promisify(execFile)(python ?? '', [
      script,
      toy.service.url,
      example,
    ]).catch((error: { stdout: string; stderr: string }) => error)
    expect(`${stdout}${stderr}`.trim()).toBe('OK')
  })
})
