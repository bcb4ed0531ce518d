/** Archives of samples that are small when they come and large when they are unpacked. */
import { describe, expect, it } from 'vitest'
import { npyOf, npzOf } from '../support/numpy.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'

const MIB = 1024 * 1024
const redis = withTestRedis()
const folder = withFolder('bombs')
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: folder(),
  SCISSION_MAX_SAMPLE_BYTES: String(8 * MIB),
}))

/** 2 MiB of zeros, in some kB. */
const bomb = (name: string) =>
  npzOf({ [`${name}.npy`]: npyOf('UINT8', [2 * MIB], 1, new Uint8Array(2 * MIB)).file }, true)

async function send(route: string, field: (at: number) => string, parts: number) {
  const form = new FormData()
  if (route === '/v1/calibrations') form.append('request', '{"model":"there-is-none"}')
  for (let at = 0; at < parts; at += 1) form.append(field(at), new Blob([bomb(`x${at}`)]), `x${at}.npz`)
  if (route.startsWith('/v1/models')) form.append('model', new Blob(['no model']), 'm.onnx')
  const answer = await fetch(`${benchmark().url}${route}`, { method: 'POST', body: form })
  const { error } = (await answer.json()) as { error: { code: string; message: string } }
  return { status: answer.status, ...error }
}

describe('archives that take too much unpacked', () => {
  const AS_FIELDS = ['/v1/calibrations', (at: number) => `f${at}`] as const
  const AS_SAMPLES = ['/v1/models?name=m', () => 'samples'] as const

  it.each([AS_FIELDS, AS_SAMPLES])(
    'of all parts of a form to %s together are refused',
    async (route, field) => {
      const answers = await Promise.all([send(route, field, 8), send(route, field, 8), send(route, field, 2)])
      for (const { status, code, message } of answers.slice(0, 2))
        expect([status, code, message]).toEqual([
          413,
          'payloadTooLarge',
          expect.stringMatching(/take more than \d+ bytes/),
        ])
      // Of another client, what fits is read: the model is what is wrong then.
      expect(answers[2]?.code).toMatch(/notFound|invalidModel/)
    },
  )
})
