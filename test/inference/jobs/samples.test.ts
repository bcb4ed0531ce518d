/** A model's samples where it is measured: a benchmark service, one resource, and a model that runs on few values only. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BenchmarkClient } from '../../../shared/client/benchmark.ts'
import type { UploadedModel } from '../../../shared/contracts/model.ts'
import type { Profile } from '../../../shared/contracts/profile.ts'
import { DataType, encode, floats, model, node, value } from '../../onnx/support/build.ts'
import { until } from '../../support/eventually.ts'
import { npyOf } from '../../support/numpy.ts'
import { withTestRedis } from '../../support/redis.ts'
import { withBenchmark } from '../../support/services.ts'
import { startInference, type TestService } from '../support/service.ts'
import { measured } from '../../support/measured.ts'

describe('a model with samples', () => {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-samples-'))
  const redis = withTestRedis()
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(data, 'benchmark'),
  }))
  let client: BenchmarkClient
  let device: TestService
  let uploaded: UploadedModel

  const target = (name: string, ...sizes: number[]): string => {
    const bytes = new Uint8Array(BigInt64Array.from(sizes, BigInt).buffer)
    const file = path.join(data, name, 'target.npy')
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, npyOf('INT64', [sizes.length], 1, bytes).file)
    return file
  }

  beforeAll(async () => {
    client = benchmark().client
    device = await startInference(redis().url, {
      SCISSION_RESOURCE: 'device',
      SCISSION_TIER: 'device',
      SCISSION_DATA: path.join(data, 'device'),
      SCISSION_BENCHMARK_URL: benchmark().url,
      SCISSION_LINK_INTERVAL_MS: '3600000',
    })
    const file = path.join(data, 'net.onnx')
    const words = {
      nodes: [
        node('Relu', ['x'], ['r']),
        node('Reshape', ['r', 'target'], ['t']),
        node('Concat', ['t', 'w'], ['y'], { axis: 0 }),
      ],
      inputs: [value('x', [2, 12]), value('target', [2], DataType.INT64)],
      outputs: [value('y', undefined)],
      constants: [floats('w', [1, 8])],
    }
    fs.writeFileSync(file, encode(model(words)))
    uploaded = await client.uploadModel(file, 'net', { samples: [target('first', 3, 8)] })
  })
  afterAll(async () => {
    await device?.stop()
    fs.rmSync(data, { recursive: true, force: true })
  })

  const profiled = async (): Promise<{ profile: Profile; reused: boolean }> => {
    const [part] = (await measured(client, { model: 'net' })).parts
    return { profile: await client.profile(part?.profile ?? ''), reused: part?.reusedFrom !== undefined }
  }

  it('is measured with them, and again once they have changed', async () => {
    const first = await profiled()
    expect(first).toMatchObject({ reused: false, profile: { samples: uploaded.samples?.sha256 } })
    expect(await profiled()).toMatchObject({ reused: true, profile: { samples: uploaded.samples?.sha256 } })
    const changed = await client.giveSamples('net', [target('second', -1, 8)])
    expect(changed.samples?.sha256).not.toBe(uploaded.samples?.sha256)
    expect(await profiled()).toMatchObject({ reused: false, profile: { samples: changed.samples?.sha256 } })
  })

  it('is calibrated with them where samples are made up', async () => {
    const { id } = await client.startCalibration({ model: 'net', boundaries: [2], madeUp: { samples: 2 } })
    await until(async () => !['waiting', 'active'].includes((await client.calibration(id)).state))
    const { state, error, cells } = await client.calibration(id)
    expect([state, error]).toEqual(['completed', undefined])
    expect(cells.length).toBeGreaterThan(0)
  })
})
