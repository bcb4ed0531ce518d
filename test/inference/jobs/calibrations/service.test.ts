/** Calibrations over HTTP, with ONNX Runtime and networks with reference outputs: a benchmark service and one resource. */
import { Changes } from '../../../../shared/platform/redis/changes.ts'
import { producerConnection } from '../../../../shared/platform/redis/connections.ts'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBenchmarkService } from '../../../../services/benchmark/app.ts'
import { createBenchmarkClient } from '../../../../shared/client/benchmark.ts'
import { BENCHMARK_SETTINGS, readConfig } from '../../../../shared/platform/service/service-config.ts'
import type { Calibration } from '../../../../shared/contracts/calibration.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import { listen } from '../../../../shared/platform/http-server/listen.ts'
import { createLog } from '../../../../shared/platform/log.ts'
import { TensorProtoSchema } from '../../../../shared/onnx/proto/onnx_pb.ts'
import { openState, type State } from '../../../../shared/platform/redis/state.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { call, postJson, startInference, type TestService } from '../../support/service.ts'
import { npyOf, npzOf } from '../../../support/numpy.ts'
import { startTestRedis, type TestRedis } from '../../../support/redis.ts'
import { until } from '../../../support/eventually.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../../../support/test-models.ts'

const SUBJECTS = [
  { what: 'a network of our own', network: ownFile('digits-cnn'), options: {} },
  {
    what: 'a trained network',
    network: thirdPartyFile('mnist-8_cnn'),
    options: needsFiles('mnist-8_cnn.onnx'),
  },
]

/** The files beside a network: three images and its answers to them. */
function given(network: string, kind: 'input' | 'output'): Float32Array[] {
  return [0, 1, 2].map((set) => {
    const file = fs.readFileSync(`${network}_set${set}_${kind}_0.pb`)
    const { rawData, floatData } = fromBinary(TensorProtoSchema, file)
    return Float32Array.from(rawData?.length ? new Float32Array(new Uint8Array(rawData).buffer) : floatData)
  })
}
/** Text as fields, bytes as files, as curl sends them. */
function formOf(fields: Record<string, string | Buffer>) {
  const boundary = 'a-line-that-is-in-no-file'
  const tail = Buffer.from(`--${boundary}--\r\n`)
  const parts = Object.entries(fields).flatMap(([name, value]) => {
    const file =
      typeof value === 'string' ? '' : `; filename="${name}.npy"\r\nContent-Type: application/octet-stream`
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`
    return [Buffer.from(head), Buffer.from(value), Buffer.from('\r\n')]
  })
  const headers = { 'Content-Type': `multipart/form-data; boundary=${boundary}` }
  return { bytes: Buffer.concat([...parts, tail]), headers, tail }
}

describe.each(SUBJECTS)('the calibrations', ({ what, network, options }) => {
  describe(`of ${what}`, options, () => {
    const images = () => Float32Array.from(given(network, 'input').flatMap((image) => [...image]))
    const digits = () => given(network, 'output').map((scores) => scores.indexOf(Math.max(...scores)))
    const data = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-calibrations-'))
    let redis: TestRedis
    let state: State
    let url: string
    let client: ReturnType<typeof createBenchmarkClient>
    let structure: Structure
    let device: TestService | undefined
    let closeService: () => Promise<void> = () => Promise.resolve()

    const startDevice = async () => {
      device = await startInference(redis.url, {
        SCISSION_RESOURCE: 'device',
        SCISSION_TIER: 'device',
        SCISSION_DATA: path.join(data, 'device'),
        SCISSION_BENCHMARK_URL: url,
        SCISSION_LINK_INTERVAL_MS: '3600000',
      })
    }
    const stopDevice = async () => {
      await device?.stop()
      device = undefined
    }
    const ended = async (id: string): Promise<Calibration> => {
      await until(async () => !['waiting', 'active'].includes((await client.calibration(id)).state))
      return client.calibration(id)
    }
    const samples = (): Tensor => {
      const [input] = structure.inputs
      if (!input) throw new Error('the model has no input')
      const bytes = new Uint8Array(images().buffer)
      return { ...input, shape: [3, ...input.shape], bytes }
    }

    beforeAll(async () => {
      redis = await startTestRedis()
      state = openState(producerConnection(redis.url, createLog('test', 'silent')))
      const env = { REDIS_URL: redis.url, SCISSION_DATA: path.join(data, 'benchmark'), SCISSION_PORT: '0' }
      const log = createLog('test', 'silent')
      const benchmark = await createBenchmarkService(readConfig(BENCHMARK_SETTINGS, env), log)
      const listening = await listen(benchmark.app, 0, '127.0.0.1')
      closeService = async () => {
        benchmark.endStreams()
        await listening.close()
        await benchmark.close()
      }
      url = listening.url
      client = createBenchmarkClient(url)
      await until(async () => (await call('GET', `${url}/readyz`)).status === 200)
      await client.uploadModel(`${network}.onnx`, 'net')
      structure = await client.structure('net')
      await startDevice()
    })
    afterAll(async () => {
      await stopDevice()
      await closeService()
      state?.redis.disconnect()
      await redis?.close()
      fs.rmSync(data, { recursive: true, force: true })
    })

    it('say for every cut and codec how many bytes and how much accuracy it costs', async () => {
      const changes = new Changes(state.redis)
      const announced = new Set<string>()
      changes.on('change', ({ kind, id }) => announced.add(`${kind} ${id}`))
      await new Promise((resolve) => changes.once('resync', () => resolve(undefined)))
      const started = await client.startCalibration({ model: 'net', labels: digits() }, [samples()])
      expect(started).toMatchObject({
        state: 'waiting',
        resource: 'device',
        samples: 3,
        sampleSource: 'given',
        labelled: true,
        cells: [],
        notes: [],
      })
      const done = await ended(started.id)
      expect([done.state, done.error]).toEqual(['completed', undefined])
      expect(announced).toContain(`calibrations ${done.id}`)
      changes.close()
      expect(done.cells.length).toBe(done.boundaries.length * done.codecs.length)
      const cuts = structure.boundaries.filter(
        ({ k, single, clean }) => single && clean && k < structure.layers.length,
      )
      expect(done.boundaries).toEqual(cuts.map(({ k }) => k))
      const cell = (boundary: number, codec: string) =>
        done.cells.find((one) => one.boundary === boundary && one.codec === codec)
      for (const k of done.boundaries) {
        const elements = (structure.boundaries[k]?.bytes ?? 0) / 4
        expect(cell(k, 'q8')?.bytesRatio).toBeCloseTo((elements + 8) / (4 * elements), 9)
        // Eight bits move the ten outputs of this network by less than a hundredth.
        expect(cell(k, 'q8')).toMatchObject({ top1Agreement: 1, accuracy: done.baseAccuracy, lossMedian: 0 })
        expect(cell(k, 'q8')?.relativeError).toBeLessThan(0.01)
        expect(cell(k, 'q2')?.relativeError).toBeGreaterThan(cell(k, 'q8')?.relativeError ?? 1)
        expect(cell(k, 'q8-zstd')).toMatchObject({ relativeError: cell(k, 'q8')?.relativeError })
        expect(cell(k, 'q8-zstd')?.bytesRatio).toBeLessThanOrEqual(cell(k, 'q8')?.bytesRatio ?? 0)
        expect(cell(k, 'zstd')).toMatchObject({ relativeError: 0, lossBound: 0, top1Agreement: 1 })
        // Three samples bound very little: 1 - 0.025^(1/3) at best.
        expect(cell(k, 'q8')?.lossBound).toBeCloseTo(1 - 0.025 ** (1 / 3), 6)
      }
      expect(done.baseAccuracy).toBe(1)
    })

    it('take samples as JSON too, and made-up ones, which are said to be made up', async () => {
      const [input] = structure.inputs
      const json = {
        model: 'net',
        codecs: ['q4c'],
        boundaries: [0],
        inputs: [
          {
            name: input?.name,
            datatype: 'FP32',
            // The input's own leading 1 may be left out.
            shape: [3, ...(input?.shape.slice(1) ?? [])],
            data: [...images()],
          },
        ],
      }
      const answer = await postJson(`${url}/v1/calibrations`, json)
      expect(answer.status).toBe(202)
      const { id } = answer.json as Calibration
      expect(answer.headers.location).toBe(`/v1/calibrations/${id}`)
      const made = await client.startCalibration({
        model: 'net',
        codecs: ['q4c', 'zstd'],
        boundaries: [0],
        madeUp: { samples: 2, seed: 9 },
      })
      const done = await ended(id)
      expect(done.cells).toEqual([expect.objectContaining({ boundary: 0, codec: 'q4c', samples: 3 })])
      const noise = await ended(made.id)
      expect(noise.notes.join()).toMatch(/made up/)
      expect(noise.cells.map(({ codec, lossBound }) => [codec, lossBound])).toEqual([
        ['q4c', 1],
        ['zstd', 0],
      ])
    })

    it('take samples and labels as NumPy’s files in a form', async () => {
      const [input] = structure.inputs
      const { name = '', shape = [] } = input ?? {}
      const bytes = new Uint8Array(images().buffer)
      const npy = npyOf('FP32', [3, ...shape.slice(1)], 1, bytes).file
      const wide = BigInt64Array.from(digits(), BigInt)
      const labels = npyOf('INT64', [3], 1, new Uint8Array(wide.buffer)).file
      const request = JSON.stringify({ model: 'net', codecs: ['q4c'], boundaries: [0] })
      const forms = [
        { request, labels, [name]: npy },
        { request, labels: JSON.stringify(digits()), samples: npzOf({ [`${name}.npy`]: npy }, true) },
      ]
      const given = [samples()]
      const plain = await client.startCalibration(
        { model: 'net', codecs: ['q4c'], boundaries: [0], labels: digits() },
        given,
      )
      const { cells } = await ended(plain.id)
      const ids = [plain.id]
      for (const form of forms) {
        const answer = await postForm(form)
        expect([answer.status, answer.json]).toMatchObject([202, { samples: 3, labelled: true }])
        const { id } = answer.json as Calibration
        ids.push(id)
        expect((await ended(id)).cells).toEqual(cells)
      }
      for (const id of ids) await client.endCalibration(id)
    }, 40_000)

    it('are refused with the field’s name when a form makes no sense', async () => {
      const before = await client.calibrations()
      const request = '{"model":"net"}'
      const name = structure.inputs[0]?.name ?? ''
      const npy = npyOf('FP32', [3, 1, 28, 28]).file
      const refusals: [Record<string, string | Buffer>, RegExp][] = [
        [{}, /"request" must hold a JSON object/],
        [{ request: '[1]' }, /"request" must hold a JSON object/],
        [{ request: '{' }, /"request" is not JSON/],
        [{ request }, /give sample inputs/],
        [{ request, pixels: npy }, /unexpected input 'pixels'/],
        [{ request, [name]: 'hello' }, new RegExp(`"${name}" is neither a .npy nor a .npz file`)],
        [{ request, [name]: npy.subarray(0, -4) }, new RegExp(`"${name}": <f4 of shape \\(3, 1, 28, 28\\)`)],
        [{ request, [name]: npyOf('FP64', [3, 1, 28, 28]).file }, /takes FP32, not FP64/],
        [{ request, [name]: npy, labels: npyOf('FP32', [3]).file }, /"labels": labels are one row/],
        [{ request, [name]: npy, labels: '[1,2]' }, /2 labels for 3 samples/],
        [{ request: '{"model":"net","codecs":["q8-lz4"]}', [name]: npy }, /a codec is none, zstd, fp16/],
      ]
      for (const [form, reason] of refusals) {
        const { status, json } = await postForm(form)
        const { code, message } = (json as { error: { code: string; message: string } }).error
        expect([status, code, message]).toEqual([
          400,
          expect.stringMatching(/badRequest|invalidTensor/),
          expect.stringMatching(reason),
        ])
      }
      const body = formOf({ request, [name]: npy })
      const cut = await call('POST', `${url}/v1/calibrations`, body.bytes.subarray(0, -200), body.headers)
      expect(cut.status).toBe(400)
      const twice = Buffer.concat([body.bytes.subarray(0, -body.tail.length), body.bytes])
      expect((await call('POST', `${url}/v1/calibrations`, twice, body.headers)).body.toString()).toMatch(
        /two form fields/,
      )
      expect(await client.calibrations()).toEqual(before)
    })

    const postForm = (fields: Record<string, string | Buffer>) => {
      const { bytes, headers } = formOf(fields)
      return call('POST', `${url}/v1/calibrations`, bytes, headers)
    }

    it('are listed by model, page by page, and deleted with their samples', async () => {
      const all = await client.calibrations({ model: 'net' })
      expect(all.length).toBe(3)
      const first = await call('GET', `${url}/v1/calibrations?limit=2`)
      const page = first.json as { items: object[]; next: string }
      expect(page.items.length).toBe(2)
      expect(Object.keys(page.items[0] ?? {})).not.toContain('cells')
      expect((await call('GET', `${url}/v1/calibrations?limit=2&cursor=${page.next}`)).json).toMatchObject({
        items: [{ id: all[2]?.id }],
      })
      const folder = path.join(data, 'benchmark', 'calibrations')
      for (const { id } of all)
        expect((await call('DELETE', `${url}/v1/calibrations/${id}`)).status).toBe(204)
      expect(fs.readdirSync(folder)).toEqual([])
      expect((await call('GET', `${url}/v1/calibrations/${all[0]?.id}`)).status).toBe(404)
      expect(await client.calibrations()).toEqual([])
    })

    it('are refused with the reason when what is asked makes no sense', async () => {
      const three = samples()
      const refusals: [object, Tensor[], RegExp][] = [
        [{ model: 'net' }, [], /give sample inputs/],
        [{ model: 'net', madeUp: {} }, [three], /one of the two/],
        [{ model: 'nobody' }, [three], /unknown model/],
        [{ model: 'net', resource: 'moon' }, [three], /unknown resource "moon"/],
        [{ model: 'net', codecs: ['q8-lz4'] }, [three], /a codec is none, zstd, fp16/],
        [{ model: 'net', codecs: ['q3'] }, [three], /codec/],
        [{ model: 'net', boundaries: [999] }, [three], /boundaries: 999/],
        [{ model: 'net', labels: [1, 2] }, [three], /2 labels for 3 samples/],
        [{ model: 'net', madeUp: {}, labels: [1] }, [], /made-up samples have none/],
        [{ model: 'net', surprise: 1 }, [three], /surprise/],
        [{ model: 'net' }, [{ ...three, name: 'other' }], /unexpected input 'other'/],
        [{ model: 'net' }, [{ ...three, shape: [three.bytes.byteLength / 4] }], /must have the shape/],
      ]
      for (const [request, inputs, reason] of refusals)
        await expect(client.startCalibration(request as { model: string }, inputs)).rejects.toThrow(reason)
      const short = await call('POST', `${url}/v1/calibrations`, '{"model":"net"', {})
      expect([short.status, (short.json as { error: { code: string } }).error.code]).toEqual([
        400,
        'badRequest',
      ])
      const lying = await call('POST', `${url}/v1/calibrations`, '{}', {
        'Inference-Header-Content-Length': '99999999999',
      })
      expect(lying.status).toBe(400)
      const huge = await call('POST', `${url}/v1/calibrations`, undefined, {
        'Content-Length': '300000000',
      }).catch((error: unknown) => error)
      expect(huge).toMatchObject({ status: 413 })
      expect(await client.calibrations()).toEqual([])
    })

    it('can be cancelled while they wait and while they run', async () => {
      const endless = { model: 'net', madeUp: { samples: 1000, seed: 1 } }
      const running = await client.startCalibration(endless)
      const waiting = await client.startCalibration(endless)
      await until(async () => (await client.calibration(running.id)).state === 'active')
      await client.endCalibration(waiting.id)
      expect(await client.calibration(waiting.id)).toMatchObject({
        state: 'cancelled',
        error: 'cancelled before it started',
      })
      await client.endCalibration(running.id)
      expect(await ended(running.id)).toMatchObject({ state: 'cancelled', cells: [] })
    })

    it('say so when nobody is there to run them', async () => {
      await stopDevice()
      await expect(client.startCalibration({ model: 'net' }, [samples()])).rejects.toThrow(
        /no resource is alive/,
      )
    })
  })
})
