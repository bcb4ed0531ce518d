/** A resource that is no inference service: it answers what a test wants. */
import type http from 'node:http'
import type { State } from '../../../shared/platform/redis/state.ts'
import { exampleResource } from '../../support/fixtures.ts'
import { stubServer } from '../../support/stub-server.ts'
import { Y } from './toy-models.ts'

/** A resource that is registered under a stand-in's address. */
export interface Stranger {
  calls: { path: string; timeoutUs: number }[]
  answerWith: (res: http.ServerResponse, path: string) => unknown
  close: () => Promise<void>
}

export async function startStranger(state: State, name: string): Promise<Stranger> {
  const stranger: Stranger = { calls: [], answerWith: (res) => res.end(), close: async () => undefined }
  const { url, close } = await stubServer((req, res, body) => {
    const path = req.url ?? ''
    const timeout = /"timeout":(\d+)/.exec(body.toString('latin1'))?.[1]
    stranger.calls.push({ path, timeoutUs: Number(timeout) })
    stranger.answerWith(res, path)
  })
  await state.resources.put(name, exampleResource('edge', { name, url }))
  stranger.close = async () => {
    await close()
    await state.resources.delete(name)
  }
  return stranger
}

/** The answer of layer y of `branchedModel`. */
export const rightAnswer = (res: http.ServerResponse) =>
  res.end(JSON.stringify({ model_name: 'm', outputs: [Y] }))

/** Its calls that carried tensors. */
export const infers = (stranger: Stranger) => stranger.calls.filter(({ path }) => path.endsWith('/infer'))
