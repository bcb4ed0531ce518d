/**
 * `npm run bench -- codecs`: how fast tensors are quantised and restored, against copying the same bytes, and what the
 * entropy part adds on real activations. One thread; every figure is a median over interleaved rounds.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { MODELS } from '../support/material.ts'
import { thirdPartyFile } from '../support/test-models.ts'
import { measureCodecs } from '../../services/inference/jobs/profiler/codec-speed.ts'
import { decodeTensor, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import {
  channelsOf,
  decodeLinear,
  encodeLinear,
  linearBytes,
  rangesOf,
} from '../../shared/codec/linear-quantisation.ts'
import type { Bits } from '../../shared/codec/codec-name.ts'
import { NETWORK_PRESETS } from '../../shared/contracts/network-presets.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { type Benchmark, type Figure, figure, type Result } from './bench.ts'
import { activationsOf, openNetwork } from './codecs-activations.ts'

const SHAPE = [1, 64, 112, 112]
const ROUNDS = 41
const WARM_UP = 10
const ENCODE_FLOOR = 1.5
const DECODE_FLOOR = 3
const TRAINED = ['ultraface_rfb320.onnx', 'yolox_nano.onnx', 'deeplabv3_mobilenetv2.onnx']

export const codecs: Benchmark = {
  name: 'codecs',
  title: 'Tensor codecs: speed on one core, and the entropy part on real activations',
  run,
}

async function run(say: (text: string) => void): Promise<Result> {
  say('quantisation against copying')
  const speed = measureSpeed()
  say('the entropy part on real activations')
  const gain = await measureEntropy(say)
  return { figures: [...speed.figures, ...gain.figures], raw: { speed: speed.raw, entropy: gain.raw } }
}

interface Part {
  figures: Figure[]
  raw: unknown
}

function noise(): Tensor {
  const count = SHAPE.reduce((product, dim) => product * dim, 1)
  const values = Float32Array.from({ length: count }, (_, index) =>
    Math.max(0, Math.sin(index * 12.9898) * 3),
  )
  return { name: 't', datatype: 'FP32', shape: SHAPE, bytes: new Uint8Array(values.buffer) }
}

interface Work {
  name: string
  work: () => void
}

/** Interleaved, so that a busy moment of the machine falls on all alike. @returns ms of every round, by name. */
function timeAll(works: readonly Work[]): Map<string, number[]> {
  const samples = new Map<string, number[]>(works.map(({ name }) => [name, []]))
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const { name, work } of works) {
      const before = performance.now()
      work()
      if (round >= 0) samples.get(name)?.push(performance.now() - before)
    }
  }
  return samples
}

function measureSpeed(): Part {
  const tensor = noise()
  const bytes = tensor.bytes.byteLength
  const copy = new Uint8Array(bytes)
  const works: Work[] = [{ name: 'copy', work: () => copy.set(tensor.bytes) }]
  for (const bits of [8, 6, 4, 2] as const) works.push(...linearWorks(tensor, bits, false))
  works.push(...linearWorks(tensor, 8, true), ...linearWorks(tensor, 4, true))
  for (const codec of ['q8', 'q4', 'fp16', 'q8-zstd', 'q4-zstd']) {
    const encoded = encodeTensor(tensor, codec)
    works.push({ name: `${codec} encode, fresh memory`, work: () => encodeTensor(tensor, codec) })
    works.push({ name: `${codec} decode, fresh memory`, work: () => decodeTensor(encoded, bytes) })
  }
  const samples = timeAll(works)
  const speedOf = (name: string) => bytes / nearestRank(samples.get(name) ?? [], 0.5) / 1e6
  const baseline = { name: 'copying', value: speedOf('copy') }
  const figures = [...samples.keys()].slice(1).map((name) => {
    const floored = /^q[84] (encode|decode)$/.exec(name)
    const floor = floored === null ? null : floored[1] === 'encode' ? ENCODE_FLOOR : DECODE_FLOOR
    return figure(`${name} (fp32 bytes)`, speedOf(name), 'GB/s', 'higher', floor, baseline)
  })
  return { figures, raw: Object.fromEntries(samples) }
}

/** Quantisation alone, into memory that is there already: range and codes, and back. */
function linearWorks(tensor: Tensor, bits: Bits, perChannel: boolean): Work[] {
  const count = tensor.bytes.byteLength / 4
  const channels = channelsOf(tensor.shape, count, perChannel)
  const encoded = new Uint8Array(linearBytes(count, channels, bits))
  const decoded = new Uint8Array(tensor.bytes.byteLength)
  const name = `q${bits}${perChannel ? 'c' : ''}`
  const encode = () => encodeLinear(tensor.bytes, channels, rangesOf(tensor.bytes, channels), bits, encoded)
  encode()
  return [
    { name: `${name} encode`, work: encode },
    { name: `${name} decode`, work: () => decodeLinear(encoded, count, channels, bits, decoded) },
  ]
}

/** Sums over all clean single-tensor cuts of a network: a large tensor counts for as much as it is. */
async function measureEntropy(say: (text: string) => void): Promise<Part> {
  const trained = TRAINED.map(thirdPartyFile).filter((file) => existsSync(file))
  if (trained.length < TRAINED.length) say(`left out: trained networks that are not in ${MODELS.path}`)
  const sources = [
    { name: 'ResNet50, random weights', source: { zoo: 'resnet50' } },
    { name: 'MobileNetV2, random weights', source: { zoo: 'mobilenetv2' } },
    ...trained.map((file) => ({ name: `${path.basename(file, '.onnx')}, trained`, source: { file } })),
  ]
  const speeds = new Map(measureCodecs().map((speed) => [speed.codec, speed]))
  const cost = (codec: string) =>
    (speeds.get(codec)?.encodeMsPerMb ?? 0) + (speeds.get(codec)?.decodeMsPerMb ?? 0)
  const figures: Figure[] = []
  const raw: Record<string, unknown> = {}
  for (const { name, source } of sources) {
    const network = await openNetwork(source)
    try {
      const sums = { fp32: 0, q8: 0, 'q8-zstd': 0, q4: 0, 'q4-zstd': 0, 'q4c-zstd': 0, zstd: 0 }
      for (const { tensor } of await activationsOf(network)) {
        sums.fp32 += tensor.bytes.byteLength
        for (const codec of ['q8', 'q8-zstd', 'q4', 'q4-zstd', 'q4c-zstd', 'zstd'] as const)
          sums[codec] += encodeTensor(tensor, codec).bytes.byteLength
      }
      raw[name] = sums
      for (const bits of ['q8', 'q4'] as const) {
        const packed = `${bits}-zstd` as const
        const baseline = { name: `${bits} alone`, value: sums.fp32 / sums[bits] }
        figures.push(
          figure(`${name}: ${packed}, fewer bytes`, sums.fp32 / sums[packed], 'x', 'higher', null, baseline),
        )
        const savedMs = (((sums[bits] - sums[packed]) / sums.fp32) * 8e3) / NETWORK_PRESETS['4g'].upMbps
        const gainMs = savedMs - (cost(packed) - cost(bits))
        figures.push(
          figure(`${name}: ${packed}, gain on 4G per MB of fp32`, gainMs, 'ms', 'higher', 0, {
            name: `its cost`,
            value: cost(packed) - cost(bits),
          }),
        )
      }
    } finally {
      await network.close()
    }
  }
  return { figures, raw: { sums: raw, speeds: [...speeds.values()] } }
}
