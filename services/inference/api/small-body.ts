/** Reads the small JSON bodies of the repository API: empty, or an object. */
import type { IncomingMessage } from 'node:http'
import type { JsonObject } from '../../../shared/oip/exact-json.ts'
import { parseObject } from '../../../shared/oip/binary-message.ts'
import { readBody } from '../messages/body.ts'

const MAX_BYTES = 1024 * 1024
const IDLE_MS = 10_000

/** @throws ScissionError badRequest, payloadTooLarge. */
export async function readSmallBody(req: IncomingMessage): Promise<JsonObject> {
  const { json } = await readBody(req, { maxBytes: MAX_BYTES, idleMs: IDLE_MS })
  return json.length === 0 ? {} : parseObject(json)
}
