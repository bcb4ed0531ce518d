/** What a service says of itself. */
import { z } from 'zod'
import { createJsonClient } from '../../shared/client/http.ts'

const Health = z.looseObject({
  version: z.string(),
  uptimeMs: z.number().optional(),
  redis: z.string().optional(),
})
export type Health = z.infer<typeof Health>

/** A service that takes longer for a word on itself is not well. */
export const ANSWER_MS = 5000

/** @param client of any service. @throws ScissionError if it does not answer within 5 s. */
export const healthOf = (client: ReturnType<typeof createJsonClient>): Promise<Health> =>
  client.request(Health, { url: '/healthz', timeout: ANSWER_MS })

/** @returns its version; undefined if it does not answer. */
export const versionOf = (name: string, url: string): Promise<string | undefined> =>
  healthOf(createJsonClient(name, url)).then(
    ({ version }) => version,
    () => undefined,
  )
