/** Quotas over HTTP: what a caller has is counted, over all services, and who is at a quota is refused before the body is read. */
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { KeyRequest } from '../../shared/contracts/key.ts'
import type { Quotas } from '../../shared/contracts/quota.ts'
import { createBenchmarkService } from '../../services/benchmark/app.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { BENCHMARK_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { exampleResource } from '../support/fixtures.ts'
import { JSON_TYPE } from '../support/json-type.ts'
import { eventually } from '../support/eventually.ts'
import { ownFile } from '../support/test-models.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { putExample } from '../planner/harness.ts'
import { type SecuredServices, startSecuredServices } from './services.ts'

const DIGITS = readFileSync(ownFile('digits-cnn.onnx'))
/** The same network with another doc_string (field 6 of ModelProto): other bytes, so another model. */
const variant = (note: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([...DIGITS, 0x32, note.length, ...Buffer.from(note)])

/** Of its input, 28 × 28 floats. */
const SAMPLE_BYTES = 4 * 28 * 28

interface Answer {
  status: number
  headers: Headers
  body: unknown
}
const Refused = z.object({ error: z.object({ code: z.string(), message: z.string() }) })
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).sort((a, b) => a - b)
const messageOf = (answer: Answer) => Refused.parse(answer.body).error.message
const idOf = ({ body }: Answer) => z.object({ id: z.string() }).parse(body).id

describe.each(TEST_SERVERS)('quotas of an identity with $name', ({ open, skip }) => {
  let system: SecuredServices
  /** The operator who has the system key. */
  let root: string

  beforeAll(async () => {
    if (skip) return
    system = await startSecuredServices({}, open)
    root = system.tokenOf('operator', 'system')
    for (const service of ['benchmark', 'planner'])
      await eventually(async () => expect((await call(root, 'GET', service, '/readyz')).status).toBe(200))
    await putExample(system.state)
  })
  beforeEach(async () => {
    if (skip) return
    for (const { id } of await system.state.deployments.all()) await system.state.deployments.delete(id)
    await system.state.resources.put('device', exampleResource('device'))
  })
  afterAll(() => system?.close())

  async function call(
    token: string,
    method: string,
    service: string,
    path: string,
    body?: Uint8Array<ArrayBuffer> | FormData | object,
  ): Promise<Answer> {
    const isRaw = body instanceof Uint8Array || body instanceof FormData
    const answer = await fetch(system.urlOf(service, 'everything') + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && !isRaw && JSON_TYPE) },
      ...(body && { body: isRaw ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    return {
      status: answer.status,
      headers: answer.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
  }

  const operator = (quotas: Quotas, more: Partial<KeyRequest> = {}) =>
    system.keys.add({ kind: 'operator', name: 'ann', quotas, ...more }, 'test')
  const upload = (token: string, name: string, bytes = variant(name)) =>
    call(token, 'POST', 'benchmark', `/v1/models?name=${name}`, bytes)

  it.skipIf(skip)('allow as many models as they say, of any number that are uploaded at once', async () => {
    const { id, token } = await operator({ models: 1 })
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, index) => upload(token, `at-once-${index}`)),
    )
    expect(statuses(answers)).toEqual([201, 429, 429, 429, 429, 429])
    const refused = answers.find(({ status }) => status === 429)
    expect(refused?.headers.get('retry-after')).toBe('60')
    expect(refused?.body).toMatchObject({
      error: { code: 'tooManyRequests', details: { quota: 'models', limit: 1, used: 1 } },
    })
    expect(messageOf(refused!)).toBe(
      `operator ann (${id}) may have 1 model and has 1: delete one; scission keys set ${id} --max-models N raises it`,
    )
    // It is theirs; another one has a quota of its own.
    const made = answers.find(({ status }) => status === 201)
    expect(made?.body).toMatchObject({ owner: id })
    const other = await operator({ models: 1 })
    expect((await upload(other.token, 'of-another')).status).toBe(201)
    // What is deleted is free again, whoever deletes it.
    expect((await call(root, 'DELETE', 'benchmark', `/v1/models/${idOf(made!)}`)).status).toBe(204)
    expect((await upload(token, 'again')).status).toBe(201)
  })

  it.skipIf(skip)('count the bytes of models, their samples and those of calibrations', async () => {
    const first = variant('bytes-1')
    const { id, token } = await operator({ bytes: 2 * first.length + 100 })
    const made = await upload(token, 'bytes-1', first)
    expect(made.status).toBe(201)
    expect((await call(root, 'GET', 'planner', `/v1/keys/${id}`)).body).toMatchObject({
      limits: { bytes: 2 * first.length + 100 },
      used: { models: 1, bytes: first.length },
    })
    // A form is held to what its files take, without its heads.
    const form = new FormData()
    form.set('model', new Blob([variant('bytes-2')]), 'model.onnx')
    const second = await call(token, 'POST', 'benchmark', '/v1/models?name=bytes-2', form)
    expect(second.status).toBe(201)
    const refused = await upload(token, 'bytes-3')
    expect(refused).toMatchObject({ status: 429, body: { error: { details: { quota: 'bytes' } } } })
    // Samples are theirs too, also of a model of somebody else.
    const samples = {
      inputs: [
        {
          name: inputOf(made),
          shape: [1, 1, 28, 28],
          datatype: 'FP32',
          data: Array(SAMPLE_BYTES / 4).fill(0),
        },
      ],
    }
    const given = await call(token, 'PUT', 'benchmark', `/v1/models/${idOf(made)}/samples`, samples)
    expect(given).toMatchObject({ status: 429, body: { error: { details: { quota: 'bytes' } } } })
    await call(token, 'DELETE', 'benchmark', `/v1/models/${idOf(second)}`)
    const fits = await call(token, 'PUT', 'benchmark', `/v1/models/${idOf(made)}/samples`, samples)
    expect(fits.status).toBe(200)
    expect((await call(token, 'GET', 'planner', '/v1/quotas')).body).toMatchObject({
      used: { models: 1, bytes: first.length + SAMPLE_BYTES },
    })
    const asked = { model: idOf(made), resource: 'device', ...samples }
    const calibration = await call(token, 'POST', 'benchmark', '/v1/calibrations', asked)
    expect(calibration).toMatchObject({ status: 202, body: { owner: id, sampleBytes: SAMPLE_BYTES } })
    expect((await call(token, 'GET', 'planner', '/v1/quotas')).body).toMatchObject({
      used: { bytes: first.length + 2 * SAMPLE_BYTES, jobs: 1 },
    })
  })

  it.skipIf(skip)(
    'refuse an upload before its body is there, and one of unknown size where it is too long',
    async () => {
      const { token } = await operator({ bytes: 1000 })
      const url = new URL(system.urlOf('benchmark', 'everything'))
      const socket = net.connect(Number(url.port), url.hostname)
      let answer = ''
      socket.on('data', (bytes) => (answer += String(bytes)))
      // Of these 5 GB nothing is sent.
      socket.write(
        `POST /v1/models?name=large HTTP/1.1\r\nHost: ${url.host}\r\nAuthorization: Bearer ${token}\r\nContent-Length: 5000000000\r\n\r\n`,
      )
      await eventually(() => expect(answer).toContain('HTTP/1.1 429'))
      socket.destroy()
      const chunked = await fetch(`${url.origin}/v1/models?name=chunked`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}` },
        body: new ReadableStream({
          pull: (controller) => {
            controller.enqueue(variant('chunked'))
            controller.close()
          },
        }),
        duplex: 'half',
      })
      expect([chunked.status, chunked.headers.get('retry-after')]).toEqual([429, '60'])
      // What was reserved for them is given back.
      expect((await call(token, 'GET', 'planner', '/v1/quotas')).body).toMatchObject({
        used: { bytes: 0, models: 0 },
      })
    },
  )

  it.skipIf(skip)('count what is there over a restart, also when Redis had lost it', async () => {
    const { id, token } = await operator({ models: 1 })
    const model = idOf(await upload(token, 'restarted'))
    await system.state.redis.hdel('scission:models', model)
    const settings = {
      REDIS_URL: system.redis.url,
      SCISSION_DATA: system.dataDir,
      SCISSION_SYSTEM_KEY: system.keyText,
    }
    const another = await createBenchmarkService(
      readConfig(BENCHMARK_SETTINGS, settings),
      createLog('test', 'silent'),
    )
    const door = await listen(another.app.at({ shows: 'everything', asks: true }), 0, '127.0.0.1')
    try {
      await eventually(async () => expect((await system.state.models.need(model)).owner).toBe(id))
      const refused = await fetch(`${door.url}/v1/models?name=one-more`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}` },
        body: variant('one-more'),
      })
      expect(refused.status).toBe(429)
      // Records of versions that did not know owners are nobody's.
      const { owner: _owner, ...before } = await system.state.models.need(model)
      await system.state.models.put(model, before)
      expect((await upload(token, 'one-more')).status).toBe(201)
    } finally {
      another.endStreams()
      await door.close()
      await another.close()
    }
  })

  it.skipIf(skip)('give back what a refused upload had reserved', async () => {
    const { token } = await operator({ models: 1 })
    const bad = await upload(token, 'bad', Uint8Array.from([1, 2, 3]))
    expect(bad.status).toBe(422)
    expect((await upload(token, 'good')).status).toBe(201)
  })

  it.skipIf(skip)('hold deployments, of which one that is made again counts once', async () => {
    const { id, token } = await operator({ deployments: 1 })
    const plan = await aPlan()
    const deploy = (name: string) => call(token, 'POST', 'planner', '/v1/deployments', { plan, name })
    const answers = await Promise.all(['one', 'two', 'three', 'four'].map(deploy))
    expect(statuses(answers)).toEqual([202, 429, 429, 429])
    const made = idOf(answers.find(({ status }) => status === 202)!)
    expect((await system.state.deployments.need(made)).owner).toBe(id)
    expect((await deploy(made)).status).toBe(202)
    // Another operator who makes it again does not become its owner.
    expect((await call(root, 'POST', 'planner', '/v1/deployments', { plan, name: made })).status).toBe(202)
    expect((await system.state.deployments.need(made)).owner).toBe(id)
    await call(token, 'DELETE', 'planner', `/v1/deployments/${made}`)
    expect((await deploy('five')).status).toBe(202)
  })

  async function aPlan(): Promise<string> {
    const { body } = await eventually(async () => {
      const found = await call(root, 'GET', 'planner', '/v1/plans?model=chain')
      expect(found).toMatchObject({ status: 200 })
      return found
    })
    const { plans } = z.object({ plans: z.array(z.object({ id: z.string() })).min(1) }).parse(body)
    return plans[0]?.id ?? ''
  }

  it.skipIf(skip)('hold jobs under way, benchmarks and calibrations together', async () => {
    const { id, token } = await operator({ jobs: 1 })
    const model = idOf(await upload(root, 'measured'))
    const start = (runs: number) =>
      call(token, 'POST', 'benchmark', '/v1/benchmarks', { model, resources: ['device'], runs, force: true })
    const answers = await Promise.all([10, 11, 12].map(start))
    expect(statuses(answers)).toEqual([202, 429, 429])
    const refused = answers.find(({ status }) => status === 429)
    expect(refused?.headers.get('retry-after')).toBe('10')
    const runs = 10 + answers.findIndex(({ status }) => status === 202)
    const started = answers[runs - 10]!
    expect(started.body).toMatchObject({ owner: id })
    // The same request again is answered with the benchmark that there is.
    const same = await start(runs)
    expect([same.status, idOf(same)]).toEqual([202, idOf(started)])
    const calibrate = () =>
      call(token, 'POST', 'benchmark', '/v1/calibrations', {
        model,
        resource: 'device',
        madeUp: { samples: 1 },
      })
    expect(await calibrate()).toMatchObject({
      status: 429,
      body: { error: { details: { quota: 'jobs', used: 1 } } },
    })
    await call(root, 'DELETE', 'benchmark', `/v1/benchmarks/${idOf(started)}`)
    const calibration = await eventually(async () => {
      const answer = await calibrate()
      expect(answer.status).toBe(202)
      return answer
    })
    expect(calibration.body).toMatchObject({ owner: id })
    expect((await start(13)).status).toBe(429)
  })

  it.skipIf(skip)('hold requests per second in every service together, on paths of both kinds', async () => {
    const quotas = { requests: 1, burst: 2 }
    const { id, token } = await system.keys.add({ kind: 'client', name: 'camera', quotas }, 'test')
    const refused: Answer[] = []
    await eventually(async () => {
      const answers = await Promise.all([
        call(token, 'GET', 'planner', '/v1/links'),
        call(token, 'GET', 'benchmark', '/v1/models'),
        call(token, 'POST', 'inference', '/v2/models/net/infer', { inputs: [] }),
        call(token, 'GET', 'inference', '/v2/models/net'),
        call(token, 'GET', 'planner', '/v1/resources'),
        call(token, 'POST', 'inference', '/v2/models/net/infer', { inputs: [] }),
        call(token, 'POST', 'inference', '/v2/models/net/infer', { inputs: [] }),
      ])
      refused.push(...answers.filter(({ status }) => status === 429))
      expect(refused.length).toBeGreaterThan(0)
      // The path of tensors, which goes past Express, and its form of an error.
      expect(refused.some(({ body }) => z.object({ error: z.string() }).safeParse(body).success)).toBe(true)
    })
    for (const { headers, body } of refused) {
      const text =
        z.object({ error: z.string() }).safeParse(body).data?.error ??
        messageOf({ status: 429, headers, body })
      expect(text).toContain(
        `client camera (${id}) may send 1 request per second, and 2 more in every 10 seconds`,
      )
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
      expect(headers.get('ratelimit-policy')).toBe('"requests";q=1;w=1, "burst";q=2;w=10')
      expect(headers.get('ratelimit')).toMatch(/^"requests";r=0;t=\d+$/)
    }
    // Probes are never refused.
    for (let time = 0; time < 5; time += 1)
      expect((await call(token, 'GET', 'planner', '/healthz')).status).toBe(200)
  })

  it.skipIf(skip)('stay with a token that replaces another one, and can be changed', async () => {
    const before = await operator({ models: 1 })
    expect((await upload(before.token, 'kept')).status).toBe(201)
    const after = await call(root, 'POST', 'planner', '/v1/keys', {
      kind: 'operator',
      name: 'ann',
      replaces: before.id,
    })
    expect(after).toMatchObject({ status: 201, body: { account: before.id, quotas: { models: 1 } } })
    const { id, token } = z.object({ id: z.string(), token: z.string() }).parse(after.body)
    await system.keys.revoke(before.id)
    expect((await upload(token, 'more')).status).toBe(429)
    const changed = await call(root, 'PUT', 'planner', `/v1/keys/${id}/quotas`, { models: 2 })
    expect(changed).toMatchObject({ status: 200, body: { limits: { models: 2 }, used: { models: 1 } } })
    await eventually(async () => expect((await upload(token, 'more')).status).toBe(201))
    expect((await upload(token, 'too-many')).status).toBe(429)
  })

  it.skipIf(skip)(
    'are refused where they mean nothing, and no limit for who has the system key',
    async () => {
      const add = (body: object) => call(root, 'POST', 'planner', '/v1/keys', body)
      const wrong: [object, string][] = [
        [
          { kind: 'client', name: 'c', quotas: { models: 1 } },
          'a client makes nothing that could be counted',
        ],
        [{ kind: 'resource', name: 'r', quotas: { requests: 1 } }, 'a resource has no quotas'],
        [{ kind: 'operator', name: 'o', quotas: { models: -1 } }, 'Too small'],
        [{ kind: 'operator', name: 'o', quotas: { requests: 0 } }, 'Too small'],
        [{ kind: 'operator', name: 'o', quotas: { modles: 1 } }, 'modles'],
      ]
      for (const [body, message] of wrong) {
        const answer = await add(body)
        expect([answer.status, messageOf(answer)]).toEqual([400, expect.stringContaining(message)])
      }
      const { id } = await operator({})
      expect((await add({ kind: 'operator', name: 'somebody-else', replaces: id })).status).toBe(400)
      expect((await add({ kind: 'operator', name: 'ann', replaces: 'absent' })).status).toBe(404)
      expect((await call(root, 'PUT', 'planner', '/v1/keys/absent/quotas', {})).status).toBe(404)
      expect((await call(root, 'PUT', 'planner', '/v1/keys/operator-system/quotas', {})).status).toBe(409)
      expect((await call(root, 'GET', 'planner', '/v1/quotas')).body).toMatchObject({ limits: {} })
      expect((await upload(root, 'by-root')).body).toMatchObject({ owner: 'operator-system' })
    },
  )

  it.skipIf(skip)('are changed by nobody who has one, nor evaded by a key of their own', async () => {
    const limited = await operator({ jobs: 5 })
    const attempts = [
      call(limited.token, 'POST', 'planner', '/v1/keys', { kind: 'operator', name: 'ann' }),
      call(limited.token, 'PUT', 'planner', `/v1/keys/${limited.id}/quotas`, {}),
      call(limited.token, 'PUT', 'planner', `/v1/keys/${limited.id}/quotas`, { jobs: null }),
    ]
    for (const answer of await Promise.all(attempts)) {
      expect(answer.status).toBe(403)
      expect(messageOf(answer)).toContain('has a quota (jobs), so it makes no keys')
    }
    const free = await operator({ jobs: null })
    const made = await call(free.token, 'POST', 'planner', '/v1/keys', { kind: 'client', name: 'camera' })
    expect(made.status).toBe(201)
  })

  it.skipIf(skip)('tell how many were refused, without saying whom', async () => {
    const { token } = await operator({ models: 0 })
    expect((await upload(token, 'none')).status).toBe(429)
    const url = `${system.urlOf('benchmark', 'everything')}/metrics`
    const metrics = await fetch(url, { headers: { Authorization: `Bearer ${root}` } })
    const lines = (await metrics.text())
      .split('\n')
      .filter((line) => line.startsWith('scission_quota_refusals_total'))
    expect(lines).toHaveLength(5)
    expect(lines).toContainEqual(expect.stringMatching(/\{quota="models"\} [1-9]/))
  })
})

const Uploaded = z.object({ inputs: z.array(z.object({ name: z.string() })).min(1) })
const inputOf = ({ body }: Answer) => Uploaded.parse(body).inputs[0]?.name ?? ''
