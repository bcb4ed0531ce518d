/** Which service answers at an address. */
import { z } from 'zod'
import { createJsonClient } from '../../../shared/client/http.ts'

/** A service on the network answers in milliseconds. */
const ASK_TIMEOUT_MS = 1000

/** The part of /healthz that says who answers. */
const Health = z.looseObject({
  service: z.string(),
  resource: z.string().optional(),
  instance: z.string().optional(),
})

/** @throws ScissionError peerUnavailable, deadlineExceeded or internal: nobody answers, or no service of this product. */
export const whoAnswers = (url: string): Promise<z.infer<typeof Health>> =>
  createJsonClient('inference service', url).request(Health, { url: '/healthz', timeout: ASK_TIMEOUT_MS })
