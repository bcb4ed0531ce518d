/** Plans a split of MobileNetV2, serves it, and compares its answer with the whole model's. `npm start` must be running. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import { KnownRevision } from '../../shared/client/known-revision.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'

const MODEL = 'mobilenetv2'
const { SCISSION_BENCHMARK_URL, SCISSION_PLANNER_URL } = process.env
// Shared: the planner answers with all that the benchmark service has acknowledged.
const known = new KnownRevision()
const benchmark = createBenchmarkClient(SCISSION_BENCHMARK_URL ?? 'http://127.0.0.1:8081', known)
const planner = createPlannerClient(SCISSION_PLANNER_URL ?? 'http://127.0.0.1:8082', known)

const query = { model: MODEL, firstLayersOnDevice: 10, minStages: 2, maxStages: 2, top: 1 }
const { plans } = await planner.plans(query)
const { id, stages, predictedMs } = plans[0]!
const path = stages.map(({ resource, from, to }) => `${resource} [${from},${to})`).join(' → ')
console.log(`${path}, predicted ${predictedMs.toFixed(1)} ms`)

let deployment = await planner.deploy({ plan: id, name: 'example-typescript' })
while (deployment.state === 'loading') {
  await sleep(100)
  deployment = await planner.deployment(deployment.id)
}
if (deployment.state === 'failed') throw new Error(deployment.error)
console.log(`served as ${deployment.id} at ${deployment.entry.url}`)

try {
  const { inputs } = await benchmark.structure(MODEL)
  const image = randomTensor(inputs[0]!)

  const entry = createInferenceClient(deployment.entry.resource, deployment.entry.url)
  const split = await entry.infer(deployment.id, [image])
  for (const line of hopsOf(split.parameters)) console.log(line)

  const cloud = (await planner.resources()).find(({ name }) => name === 'cloud')!
  const whole = await createInferenceClient(cloud.name, cloud.url).infer(MODEL, [image])
  const [ours, theirs] = [split, whole].map(({ outputs }) => numbersOf(outputs[0]!))
  const difference = Math.max(...ours!.map((value, at) => Math.abs(value - theirs![at]!)))
  const largest = Math.max(...theirs!.map(Math.abs))
  console.log(
    `split and whole differ by at most ${difference.toExponential(1)} of outputs up to ${largest.toExponential(1)}`,
  )
} finally {
  await planner.undeploy(deployment.id)
}

/** FP32 noise between 0 and 1. */
function randomTensor({ name, shape }: { name: string; shape: number[] }): Tensor {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).map(() => Math.random())
  return { name, datatype: 'FP32', shape, bytes: new Uint8Array(values.buffer) }
}

/** The bytes of a tensor may begin anywhere in their buffer; a Float32Array may not. */
function numbersOf({ bytes }: Tensor): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer)
}

/** One line per machine, from the parameters that every answer of a split model carries. */
function hopsOf(parameters: Readonly<Record<string, string | number | boolean>>): string[] {
  return Array.from({ length: Number(parameters.scission_hops) }, (_, hop) => {
    const of = (name: string) => parameters[`scission_hop${hop}_${name}`]
    const sent = of('wireBytes') === undefined ? '' : `, ${Number(of('wireBytes'))} bytes sent on`
    return `${of('resource')}: layers ${of('layers')} in ${Number(of('computeMs')).toFixed(1)} ms${sent}`
  })
}
