/** The baseline of `responsive`: session.run on the thread that also answers HTTP, back to back. argv: model file. */
import type http from 'node:http'
import '../../shared/onnx/runtime/no-telemetry.ts'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { listen } from '../../shared/platform/http-server/listen.ts'

const file = process.argv[2]
if (file === undefined) throw new Error('usage: naive-server.ts MODEL.onnx')
const session = await InferenceSession.create(file, { intraOpNumThreads: 1 })
const input = session.inputNames[0] ?? ''
const feeds = { [input]: new Tensor('float32', new Float32Array(3 * 224 * 224).fill(0.5), [1, 3, 224, 224]) }

const { url } = await listen(
  (_req: http.IncomingMessage, res: http.ServerResponse) => res.end('{"live":true}'),
  0,
  '127.0.0.1',
)
process.send?.({ ready: true, url })
process.on('disconnect', () => process.exit(0))
for (;;) await session.run(feeds)
