/** docs/tensors.md, run as a user would paste it, against a system of its own; and whether it names every field. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSystem, type System } from '../../infra/start/system.ts'
import { hopParameters, reportParameters } from '../../services/inference/serving/models/hop-report.ts'
import type { HopReport } from '../../services/inference/serving/models/target.ts'
import { availableCodecs, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { INFERENCE_SETTINGS } from '../../shared/platform/service/service-config.ts'
import { CalibrationCell, CalibrationRequest } from '../../shared/contracts/calibration.ts'
import { createLog } from '../../shared/platform/log.ts'
import { SCISSION } from '../support/command.ts'
import { shellScriptOf } from '../support/markdown.ts'

const PAGE = 'docs/tensors.md'
const page = readFileSync(PAGE, 'utf8')
const unnamed = (names: readonly string[]) => names.filter((name) => !page.includes(`\`${name}\``))

describe('docs/tensors.md, its commands', () => {
  let folder: string
  let system: System

  /** In a checkout npx finds the command; here the working folder is another one. */
  async function run(script: string): Promise<string> {
    const prelude = `set -eu\nnpx() { shift; '${process.execPath}' '${SCISSION}' "$@"; }\n`
    writeFileSync(path.join(folder, 'script.sh'), prelude + script)
    const urls = { SCISSION_BENCHMARK_URL: system.benchmarkUrl, SCISSION_PLANNER_URL: system.plannerUrl }
    const options = { cwd: folder, maxBuffer: 1e8, env: { ...process.env, NO_COLOR: '1', ...urls } }
    return (await promisify(execFile)('bash', ['script.sh'], options)).stdout
  }

  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'scission-docs-'))
    system = await startSystem({
      testbed: undefined,
      network: undefined,
      portBase: 0,
      dataDir: path.join(folder, 'data'),
      log: createLog('test', 'error'),
    })
    await run(`
      npx scission zoo build mobilenetv2 -o mobilenetv2.onnx
      npx scission models add mobilenetv2.onnx
      npx scission bench mobilenetv2
    `)
  })
  afterAll(async () => {
    await system?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('split a model, calibrate its codecs and serve it with one', async () => {
    const script = shellScriptOf(PAGE)
      .replace('http://127.0.0.1:8081', system.benchmarkUrl)
      .replace('http://127.0.0.1:8082', system.plannerUrl)
    expect(script).toContain(system.benchmarkUrl)
    const stdout = await run(script)
    const [, timed = '', untimed = '', coded = ''] = stdout.split('"model_name"')
    expect(timed).toContain('"scission_hops":3')
    expect(timed).toContain('"scission_hop0_nextMs"')
    // The answer came straight from the last hop.
    expect(timed).not.toContain('"scission_hop1_nextMs"')
    expect(untimed).not.toContain('scission_')
    expect(untimed).toMatch(/^"error":".*deadline/m)
    expect(stdout).toMatch(/^"cells":\[\{"boundary":63,"codec":"q8-zstd",.*"accuracy":/m)
    expect(stdout).toMatch(/"codec":"zstd",.*"lossBound":0,/)
    expect(stdout).toMatch(/cut +codec +bytes +top-1 agreement +relative error +loss bound/)
    expect(stdout).toMatch(/^ *63 +q4 .* % \(≥ .*\(≤ /m)
    // Once by the run that found it, once from the record.
    expect(stdout.match(/accuracy lost +best plan +codecs/g)).toHaveLength(2)
    expect(stdout).toMatch(/^ *calibration +model +on +state/m)
    expect(stdout).toMatch(/^"accuracyLoss":0\.\d/m)
    expect(coded).toContain('"scission_hop0_codec":"q8-zstd"')
    expect(coded).toContain('"scission_hop1_decodeMs"')
    const figure = (name: string) => Number(new RegExp(`"scission_hop0_${name}":(\\d+)`).exec(coded)?.[1])
    expect(figure('wireBytes')).toBeLessThan(figure('bytesOut') / 3)
  })
})

describe('docs/tensors.md', () => {
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
    expect(unnamed([...ofTheWhole, ...ofAHop.filter((key) => key !== '…_resource')])).toEqual([])
    expect(unnamed(['scission_hop{n}_resource'])).toEqual([])
  })

  it('names every codec, every field of a calibration and every header that travels', () => {
    expect(unnamed(availableCodecs().filter((name) => !name.includes('-')))).toEqual([])
    expect(unnamed(Object.keys(CalibrationRequest.shape))).toEqual([])
    expect(unnamed(Object.keys(CalibrationCell.shape))).toEqual([])
    const { env, fallback } = INFERENCE_SETTINGS.travellingHeaders
    expect(unnamed([env, ...(fallback ?? '').split(',')])).toEqual([])
  })

  it('shows an encoded tensor as it is', () => {
    const [, example = ''] = /^```json\n([\s\S]*?)^```$/m.exec(page) ?? []
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
    expect(JSON.parse(example)).toEqual({ ...encoded, parameters })
  })
})
