/**
 * Runs the first layers of MobileNetV2 in this process and the rest on a resource. `npm start` must be running.
 *
 * GET …/ranges/0-k gives the layers as an ONNX file whose weights point into the model's own file; the manifest names the
 * chunks of that file that they use. Only those are downloaded, each to its own place in a sparse file.
 */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { RangeManifest } from '../../shared/contracts/range-manifest.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'

const MODEL = 'mobilenetv2'
const BENCHMARK = process.env.SCISSION_BENCHMARK_URL ?? 'http://127.0.0.1:8081'
const planner = createPlannerClient(process.env.SCISSION_PLANNER_URL ?? 'http://127.0.0.1:8082')

// The clean cut with the smallest tensor in the first half of the model.
const { layers, boundaries, inputs } = await createBenchmarkClient(BENCHMARK).structure(MODEL)
const candidates = boundaries.filter(
  ({ k, clean, single }) => clean && single && k > 0 && k <= layers.length / 2,
)
const cut = candidates.reduce((best, one) => (one.bytes < best.bytes ? one : best))
console.log(`cut at boundary ${cut.k}: ${cut.bytes} bytes instead of ${inputs[0]!.bytes} cross`)

const folder = await mkdtemp(path.join(os.tmpdir(), 'scission-head-'))
try {
  const head = await InferenceSession.create(await download(folder, cut.k), { intraOpNumThreads: 1 })
  const image = new Float32Array(inputs[0]!.bytes / 4).map(() => Math.random())

  const start = performance.now()
  const made = await head.run({ [inputs[0]!.name]: new OrtTensor('float32', image, inputs[0]!.shape) })
  const headMs = performance.now() - start

  const { name, url } = (await planner.resources()).find((resource) => resource.name === 'cloud')!
  const cloud = createInferenceClient(name, url)
  const crossing = Object.entries(made).map(([tensor, value]) => tensorOf(tensor, value))
  // The first request loads the layers; the second one tells what a request takes.
  await cloud.inferRange(MODEL, cut.k, layers.length, crossing)
  const sent = performance.now()
  const { outputs } = await cloud.inferRange(MODEL, cut.k, layers.length, crossing)
  const tailMs = performance.now() - sent
  console.log(
    `head: ${headMs.toFixed(1)} ms here; tail on the ${name}: ${tailMs.toFixed(1)} ms with the way there and back`,
  )

  const whole = await cloud.infer(MODEL, [{ ...inputs[0]!, bytes: new Uint8Array(image.buffer) }])
  const [ours, theirs] = [outputs, whole.outputs].map((list) => numbersOf(list[0]!))
  const difference = Math.max(...ours!.map((value, at) => Math.abs(value - theirs![at]!)))
  const largest = Math.max(...theirs!.map(Math.abs))
  console.log(
    `head and tail differ from the whole model by at most ${difference.toExponential(1)} of outputs up to ${largest.toExponential(1)}`,
  )
} finally {
  await rm(folder, { recursive: true, force: true })
}

/** @returns the path of the ONNX file of layers [0, to), its weights beside it. */
async function download(folder: string, to: number): Promise<string> {
  const range = `${BENCHMARK}/v1/models/${MODEL}/ranges/0-${to}`
  const { weights } = RangeManifest.parse(await (await get(`${range}/manifest`)).json())
  let fetched = 0
  for (const file of weights) {
    const target = await open(path.join(folder, file.path), 'w')
    await target.truncate(file.bytes)
    for (const { index } of file.chunks) {
      const first = index * file.chunkBytes
      const last = Math.min(first + file.chunkBytes, file.bytes) - 1
      const answer = await get(`${BENCHMARK}/v1/models/${MODEL}/files/${file.path}`, `bytes=${first}-${last}`)
      const chunk = new Uint8Array(await answer.arrayBuffer())
      await target.write(chunk, 0, chunk.length, first)
      fetched += chunk.length
    }
    await target.close()
  }
  const all = weights.reduce((sum, { bytes }) => sum + bytes, 0)
  console.log(`downloaded ${megabytes(fetched)} of ${megabytes(all)} of weights`)
  const file = path.join(folder, 'head.onnx')
  await writeFile(file, new Uint8Array(await (await get(range)).arrayBuffer()))
  return file
}

async function get(url: string, range?: string): Promise<Response> {
  const answer = await fetch(url, range === undefined ? {} : { headers: { Range: range } })
  if (answer.ok) return answer
  throw new Error(`GET ${url}: ${answer.status} ${await answer.text()}`)
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`
}

function tensorOf(name: string, { data, dims }: OrtTensor): Tensor {
  if (!(data instanceof Float32Array)) throw new Error(`tensor ${name} is not FP32`)
  return {
    name,
    datatype: 'FP32',
    shape: [...dims],
    bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  }
}

/** The bytes of a tensor may begin anywhere in their buffer; a Float32Array may not. */
function numbersOf({ bytes }: Tensor): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer)
}
