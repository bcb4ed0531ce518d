/** Sends an inference message: headers, JSON, then the tensors' own bytes, compressed if the client accepts that. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { constants, deflate, gzip } from 'node:zlib'
import { type Message, messageHeaders } from '../../../shared/oip/binary-message.ts'
import { freeViews } from './buffer-memory.ts'

/** Float tensors hardly shrink: a higher level takes more time and saves nothing. */
const LEVEL = constants.Z_BEST_SPEED
const compressors = { gzip: promisify(gzip), deflate: promisify(deflate) }

/** Sends the message and then frees the memory of its tensors, which the caller must not use any more. */
export async function sendMessage(
  req: IncomingMessage,
  res: ServerResponse,
  message: Message,
): Promise<void> {
  const parts = [message.json, ...message.binary]
  const encoding = acceptedEncoding(req.headers['accept-encoding'])
  // After these events the system has taken all bytes, or the connection is closed: nothing reads this memory any more. Node
  // 24 does not emit 'finish' if the connection was closed.
  for (const event of ['finish', 'close']) res.once(event, () => freeViews(message.binary))
  if (encoding) {
    const packed = await compressors[encoding](Buffer.concat(parts), { level: LEVEL })
    res.writeHead(200, {
      ...messageHeaders(message),
      'Content-Encoding': encoding,
      'Content-Length': packed.length,
    })
    res.end(packed)
    return
  }
  const length = message.json.byteLength + message.binaryBytes
  res.writeHead(200, { ...messageHeaders(message), 'Content-Length': length })
  res.cork()
  for (const part of parts) res.write(part)
  res.end()
}

/** The preferred one of gzip and deflate in an Accept-Encoding header; gzip if both are equal. */
export function acceptedEncoding(header: string | string[] | undefined): 'gzip' | 'deflate' | undefined {
  const weights = { gzip: 0, deflate: 0 }
  for (const item of String(header ?? '').split(',')) {
    const [name, ...settings] = item.split(';').map((part) => part.trim().toLowerCase())
    const quality = settings.find((setting) => setting.startsWith('q='))?.slice(2)
    const weight = quality === undefined ? 1 : Number(quality)
    if (name === 'gzip' || name === 'deflate') weights[name] = Number.isNaN(weight) ? 0 : weight
  }
  if (weights.gzip <= 0 && weights.deflate <= 0) return undefined
  return weights.gzip >= weights.deflate ? 'gzip' : 'deflate'
}
