/** The pages of docs/reference that are made from the code say what the code says; the others name what it has. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  hopParameters,
  type HopReport,
  reportParameters,
} from '../../services/inference/serving/models/target.ts'
import { availableCodecs, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { CalibrationCell, CalibrationRequest } from '../../shared/contracts/calibration.ts'
import { NETWORK_NAMES } from '../../shared/contracts/network-presets.ts'
import { PlanAnswer, PlanQuery, Plan } from '../../shared/contracts/plan.ts'
import { INFERENCE_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { blocksOf } from '../support/markdown.ts'
import { referencePages } from './reference/index.ts'

const read = (name: string) => readFileSync(`docs/reference/${name}.md`, 'utf8')
const unnamed = (page: string, names: readonly string[]) =>
  names.filter((name) => !page.includes(`\`${name}\``))

it('pages made from the code are as `npm run docs` writes them now', async () => {
  const pages = await referencePages()
  expect(pages.size).toBe(7)
  for (const [page, text] of pages) expect(readFileSync(page, 'utf8'), `${page}: npm run docs`).toBe(text)
})

describe('docs/reference/plan-query.md', () => {
  it('names every field of a query, of an answer and of a plan, and every preset', () => {
    const page = read('plan-query')
    expect(unnamed(page, Object.keys(PlanQuery.shape))).toEqual([])
    // An answer's copy of the question needs no explanation.
    const repeated = ['shapesKey', 'native']
    const answered = [...Object.keys(PlanAnswer.shape), ...Object.keys(Plan.shape)]
    expect(
      unnamed(
        page,
        answered.filter((field) => !repeated.includes(field)),
      ),
    ).toEqual([])
    expect(unnamed(page, NETWORK_NAMES)).toEqual([])
  })
})

describe('docs/reference/requests-and-answers.md', () => {
  const page = read('requests-and-answers')

  it('names every parameter of an answer', () => {
    const hop: Required<HopReport> = {
      hop: 0,
      resource: 'edge',
      from: 0,
      to: 1,
      computeMs: 1,
      cpuMs: 1,
      queueMs: 1,
      waitedMs: 1,
      batch: 2,
      bytesOut: 1,
      wireBytes: 1,
      codec: 'q8',
      encodeMs: 1,
      decodeMs: 1,
      nextMs: 1,
      insteadOf: 'edge2',
      emulated: false,
    }
    const ofTheWhole = Object.keys(reportParameters([], 1))
    const ofAHop = Object.keys(hopParameters([hop])).map((key) => key.replace('scission_hop0_', '…_'))
    expect(ofAHop).toContain('…_computeMs')
    expect(unnamed(page, [...ofTheWhole, ...ofAHop.filter((key) => key !== '…_resource')])).toEqual([])
    expect(unnamed(page, ['scission_hop{n}_resource'])).toEqual([])
  })

  it('names every header that travels', () => {
    const { env, fallback } = INFERENCE_SETTINGS.travellingHeaders
    expect(unnamed(page, [env, ...(fallback ?? '').split(',')])).toEqual([])
  })

  it('shows an encoded tensor as it is', () => {
    const example = blocksOf('docs/reference/requests-and-answers.md').find(
      ({ language }) => language === 'json',
    )
    const shape = [1, 64, 56, 56]
    const values = Float32Array.from({ length: 64 * 56 * 56 }, (_, index) => Math.sin(index))
    const tensor = {
      name: 'features',
      datatype: 'FP32' as const,
      shape,
      bytes: new Uint8Array(values.buffer),
    }
    const { bytes, ...encoded } = encodeTensor(tensor, 'q8')
    const parameters = { ...encoded.parameters, binary_data_size: bytes.byteLength }
    expect(JSON.parse(example?.text ?? '')).toEqual({ ...encoded, parameters })
  })
})

describe('docs/reference/codecs.md', () => {
  it('names every codec, and every field of a calibration', () => {
    const page = read('codecs')
    expect(
      unnamed(
        page,
        availableCodecs().filter((name) => !name.includes('-')),
      ),
    ).toEqual([])
    expect(unnamed(page, Object.keys(CalibrationRequest.shape))).toEqual([])
    expect(unnamed(page, Object.keys(CalibrationCell.shape))).toEqual([])
  })
})
