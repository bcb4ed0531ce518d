/** Bytes of HTTP that our own code parses: forms of clients, answers of peers. */
import { boundaryOf, formEvents } from '../../../services/benchmark/multipart.ts'
import { ResponseParser } from '../../../services/inference/http/response-parser.ts'
import { allowed, PURE, refusing, type Target, text } from '../target.ts'

export const BOUNDARY = 'xYzZY'

export function form(parts: Record<string, { content: string | Uint8Array; file?: string }>): Buffer {
  const pieces = Object.entries(parts).flatMap(([name, { content, file }]) => [
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}\r\n\r\n`,
    ),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...pieces, Buffer.from(`--${BOUNDARY}--\r\n`)])
}

/** Two pieces: what is kept between them is tried too. */
async function* inPieces(input: Uint8Array): AsyncGenerator<Buffer> {
  const cut = input.length >> 1
  yield Buffer.from(input.subarray(0, cut))
  yield Buffer.from(input.subarray(cut))
}

export const forms: Target = {
  name: 'forms',
  share: 6,
  sample: 800,
  ...PURE,
  open: () => ({
    seeds: [
      form({ name: { content: 'net' }, file: { content: 'bytes', file: 'a.onnx' } }),
      form({ 'a"b': { content: '\r\n--x', file: 'caf\u00e9' } }),
      text(
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="a"; filename*=UTF-8''caf%C3%A9\r\nContent-Type: application/octet-stream\r\n\r\nb\r\n--${BOUNDARY}--`,
      ),
    ],
    run: async (input) => {
      let bytes = 0
      try {
        for await (const event of formEvents(inPieces(input), BOUNDARY))
          if ('content' in event) bytes += event.content.length
      } catch (thrown) {
        allowed(thrown)
      }
      refusing(() => boundaryOf(Buffer.from(input).toString('latin1')))
      if (bytes > input.length) throw new Error(`${bytes} bytes came of ${input.length}`)
    },
  }),
}

export const answers: Target = {
  name: 'answers',
  share: 6,
  sample: 1500,
  ...PURE,
  open: () => ({
    seeds: [
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nA: b\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n',
      'HTTP/1.0 502 Bad Gateway\r\n\r\nuntil the end',
    ].map(text),
    run: (input) =>
      refusing(() => {
        let bytes = 0
        const parser = new ResponseParser({
          onHead: () => undefined,
          onBody: (chunk) => (bytes += chunk.length),
        })
        const cut = input.length >> 1
        for (const piece of [input.subarray(0, cut), input.subarray(cut)])
          if (!parser.done) parser.add(Buffer.from(piece))
        parser.end()
        if (bytes > input.length) throw new Error(`${bytes} bytes came of ${input.length}`)
      }),
  }),
}
