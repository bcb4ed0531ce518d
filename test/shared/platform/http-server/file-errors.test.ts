/** An error of the file system reaches a client without the path; the log has it as its cause. */
import { readFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, it } from 'vitest'
import { bodyFor, toScissionError } from '../../../../shared/platform/http-server/error-answers.ts'

it.each(['/v1/models', '/v2/models/net'])('on %s names no path', async (route) => {
  const thrown = await readFile(path.join(os.tmpdir(), 'scission-absent', 'secret')).catch(
    (error: unknown) => error,
  )
  const error = toScissionError(thrown)
  expect(error.status).toBe(500)
  const said = JSON.stringify(bodyFor(route, error))
  expect(said).toMatch(/a file of this service could not be read/)
  expect(said).not.toMatch(/secret|ENOENT/)
  expect(error.cause).toBe(thrown)
})
