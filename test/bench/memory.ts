/**
 * Does the memory of an inference service stay flat? 20,000 requests of MobileNetV2, and 500 times the two halves of
 * ResNet50 loaded and unloaded. Resident memory is read after the service was asked to do nothing for a moment; what
 * counts is the end against the time after warm-up. `MEMORY_PARTS=requests` or `cycles` runs one of the two.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { type Benchmark, figure, type Result } from './bench.ts'
import { cutAt, type ServeSystem, startServeSystem } from './serve-setup.ts'

export const memory: Benchmark = { name: 'memory', title: 'Memory of the inference service over time', run }

const FLAT = 0.05
const REQUESTS = 20_000
const CLIENTS = 4
const CYCLES = 500
/** Allocator and V8 have found their size by then. */
const WARM_UP = 0.2
const SAMPLES = 50

async function run(say: (text: string) => void): Promise<Result> {
  const wanted = process.env['MEMORY_PARTS']?.split(',') ?? ['requests', 'cycles']
  const parts: Result[] = []
  for (const [name, part] of Object.entries({ requests, cycles })) {
    if (!wanted.includes(name)) continue
    say(name)
    const serving = await startServeSystem(['device'])
    try {
      parts.push(await part(serving))
    } finally {
      await serving.close()
    }
  }
  return { figures: parts.flatMap(({ figures }) => figures), raw: parts.map(({ raw }) => raw) }
}

async function requests(serving: ServeSystem): Promise<Result> {
  const model = await serving.upload('mobilenetv2', (file) => buildZooModel('mobilenetv2', file))
  const samples: number[] = []
  for (let round = 0; round < SAMPLES; round += 1) {
    let left = REQUESTS / SAMPLES
    const client = async () => {
      while (left > 0) {
        left -= 1
        await serving.infer('device', model.id, model.inputs)
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    samples.push(await residentBytes(serving))
  }
  return growthOf(`${REQUESTS} requests`, samples)
}

async function cycles(serving: ServeSystem): Promise<Result> {
  const model = await serving.upload('resnet50', (file) => buildZooModel('resnet50', file))
  const cut = cutAt(model.structure, 0.5)
  const halves = [`${model.id}:0-${cut}`, `${model.id}:${cut}-${model.structure.layers.length}`]
  const samples: number[] = []
  for (let cycle = 0; cycle < CYCLES; cycle += 1) {
    for (const action of ['load', 'unload']) for (const half of halves) await ask(serving, half, action)
    if ((cycle + 1) % (CYCLES / SAMPLES) === 0) samples.push(await residentBytes(serving))
  }
  return growthOf(`${CYCLES} times loaded and unloaded`, samples)
}

async function ask({ urlOf }: ServeSystem, name: string, action: string): Promise<void> {
  const url = `${urlOf('device')}/v2/repository/models/${encodeURIComponent(name)}/${action}`
  const answer = await fetch(url, { method: 'POST' })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
}

/** Linux only, as the machines this benchmark is for. */
async function residentBytes({ pidOf }: ServeSystem): Promise<number> {
  await sleep(50)
  const status = readFileSync(`/proc/${pidOf('device')}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

/** The median of the last tenth against that of the tenth after warm-up. */
function growthOf(what: string, samples: number[]): Result {
  const tenth = SAMPLES / 10
  const warm = Math.round(SAMPLES * WARM_UP)
  const early = nearestRank(samples.slice(warm, warm + tenth), 0.5)
  const late = nearestRank(samples.slice(-tenth), 0.5)
  const baseline = { name: 'after warm-up, MB', value: early / 1e6 }
  return {
    figures: [
      figure(`${what}: resident memory, change`, late / early - 1, '', 'lower', FLAT),
      figure(`${what}: resident memory`, late / 1e6, 'MB', 'lower', null, baseline),
    ],
    raw: { what, samples },
  }
}
