/** Samples that a job fetches: those that its model had when it began, or none. */
import fs from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { withModelSamples } from '../../../services/inference/jobs/samples/fetch-samples.ts'
import type { Samples } from '../../../shared/contracts/model.ts'
import { exampleModel } from '../../support/fixtures.ts'
import { type StubServer, stubServer } from '../../support/stub-server.ts'

const about: Samples = {
  sha256: 'd'.repeat(64),
  bytes: 8,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [2], bytes: 8 }],
  givenAt: new Date().toISOString(),
}
const { id } = exampleModel()
const { signal } = new AbortController()

let server: StubServer
let answer = { status: 200, etag: `"${about.sha256}"` }
beforeAll(async () => {
  server = await stubServer((_req, res) => {
    res.writeHead(answer.status, { ETag: answer.etag }).end(Buffer.alloc(8, 7))
  })
})
afterAll(() => server.close())

const fetched = () =>
  withModelSamples({ benchmarkUrl: server.url }, { id, samples: about }, signal, async (samples) => ({
    path: samples?.path ?? '',
    bytes: fs.readFileSync(samples?.path ?? ''),
  }))

it('are in a file for as long as they are used', async () => {
  answer = { status: 200, etag: `"${about.sha256}"` }
  const { path, bytes } = await fetched()
  expect(bytes).toEqual(Buffer.alloc(8, 7))
  expect(fs.existsSync(path)).toBe(false)
})

it('are not taken if they have changed since, nor instead of an error', async () => {
  answer = { status: 200, etag: `"${'e'.repeat(64)}"` }
  await expect(fetched()).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('start it again'),
  })
  answer = { status: 404, etag: `"${about.sha256}"` }
  await expect(fetched()).rejects.toMatchObject({ code: 'peerUnavailable' })
})

it('are not asked for if the model has none', async () => {
  const given = await withModelSamples(
    { benchmarkUrl: 'http://127.0.0.1:1' },
    { id },
    signal,
    async (samples) => samples,
  )
  expect(given).toBeUndefined()
})
