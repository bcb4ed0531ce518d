/** Forms that start calibrations. */
import type { IncomingMessage } from 'node:http'
import { afterEach, expect, it } from 'vitest'
import { receiveForm } from '../../services/benchmark/calibrations/calibration-form.ts'
import { readFields } from '../../services/benchmark/calibrations/read-request.ts'
import { OWN_WORK } from '../../shared/platform/http-server/client-of.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { coerceError } from '../../shared/platform/errors.ts'

const reader = (limitBytes: number) => ({
  limitBytes,
  readFields: async (fields: ReadonlyMap<string, Uint8Array>) => readFields(fields, limitBytes),
})

let close: (() => Promise<void>) | undefined
afterEach(() => close?.())

/** Sends a form to `receive`. @returns its result or its error. */
async function sent(form: FormData, receive: (req: IncomingMessage) => Promise<unknown>): Promise<unknown> {
  let outcome: unknown
  const listening = await listen(
    (req, res) => {
      void receive(req)
        .catch(coerceError)
        .then((received) => {
          outcome = received
          res.end()
        })
    },
    0,
    '127.0.0.1',
  )
  close = listening.close
  await fetch(listening.url, { method: 'POST', body: form })
  return outcome
}

it.each([
  ['text', '[1,2,3]'],
  ['a file', new Blob(['[1,2,3]'])],
])('count against the limit of a form if they are %s', async (_what, labels) => {
  const form = new FormData()
  form.append('request', '{"model":"m"}')
  form.append('labels', labels)
  const bytes = '{"model":"m"}[1,2,3]'.length
  expect(await sent(form, (req) => receiveForm(req, reader(bytes), OWN_WORK))).toEqual({
    json: { model: 'm', labels: [1, 2, 3] },
    inputs: undefined,
  })
  await close?.()
  expect(await sent(form, (req) => receiveForm(req, reader(bytes - 1), OWN_WORK))).toMatchObject({
    code: 'payloadTooLarge',
  })
})
