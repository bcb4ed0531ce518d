/** Requests to the three services: of every route that they describe, and as bytes on the wire. */
import http from 'node:http'
import { gzipSync } from 'node:zlib'
import { EXAMPLES } from '../../../shared/contracts/examples.ts'
import { writeNpy } from '../../../shared/tensors/write-numpy.ts'
import { madeUp } from '../../original/made-up.ts'
import { exampleDeployment, exampleProfile, MODEL_ID } from '../../support/fixtures.ts'
import { ask, sendBytes } from '../ask.ts'
import { SERVICES, type ServiceName, startFuzzedSystem } from '../system.ts'
import { type OpenTarget, type Target, text } from '../target.ts'
import { plain } from './documents.ts'
import { original, smallModel } from './files.ts'
import { BOUNDARY, form } from './http-bytes.ts'

const WAITING = { deadlineMs: 60_000, growthBytes: 700 * 2 ** 20 } as const
/** Requests after which what they have deleted is put back, and every service must be ready. */
const REFRESH_EVERY = 200

interface Operation {
  requestBody?: { content: Record<string, unknown> }
}
interface Description {
  paths: Record<string, Record<string, Operation>>
}

const JSON_TYPE = 'application/json'
const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`
const BYTES_TYPE = 'application/octet-stream'

/** `SERVICE METHOD PATH TYPE [JSON-LENGTH]`, then the body. */
const request = (line: string, body: Uint8Array | string | object = ''): Buffer =>
  Buffer.concat([Buffer.from(`${line}\n`), body instanceof Uint8Array ? body : text(body)])

const INPUT = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
const BINARY = Buffer.from(
  JSON.stringify({
    inputs: [{ name: 'x', shape: [2], datatype: 'FP32', parameters: { binary_data_size: 8 } }],
  }),
)

/** Those that the descriptions do not give: queries, forms, bytes. */
function furtherRequests(): Buffer[] {
  const plans = 'planner GET /v1/plans?model=chain'
  return [
    request(`${plans} -`),
    request(`${plans}&objective=bytes&limit=5&maxMs=20&resources=device,edge&view=graph -`),
    request(`${plans}&what=device:2&slowdown=device:2&network=4g&pareto=latency,bytes -`),
    request(`planner POST /v1/plans/sweep ${JSON_TYPE}`, EXAMPLES.SweepRequest),
    request(`planner POST /v1/plans ${JSON_TYPE}`, { model: 'chain', slowdown: { device: 2 } }),
    request('benchmark GET /v1/models?limit=1&cursor=a -'),
    request('benchmark GET /v1/models/chain?shapes=x:1x250 -'),
    request('benchmark GET /v1/models/chain/ranges/0-2/manifest?shapes=x:1x250 -'),
    request(
      `benchmark POST /v1/models ${FORM_TYPE}`,
      form({ name: { content: 'net' }, model: { content: smallModel(), file: 'a.onnx' } }),
    ),
    request(`benchmark POST /v1/models?name=net ${BYTES_TYPE}`, smallModel()),
    request(
      `benchmark PUT /v1/models/chain/samples ${FORM_TYPE}`,
      form({
        samples: {
          content: writeNpy({ name: 'x', datatype: 'FP32', shape: [1, 250], bytes: new Uint8Array(1000) }),
          file: 'x.npy',
        },
      }),
    ),
    request(
      `benchmark POST /v1/calibrations ${FORM_TYPE}`,
      form({ request: { content: '{"model":"chain"}' }, x: { content: 'PK', file: 'x.npz' } }),
    ),
    request(`benchmark POST /v1/profiles ${JSON_TYPE}`, original()),
    request(`benchmark POST /v1/profiles ${JSON_TYPE}`, madeUp().profiles),
    request(`benchmark POST /v1/profiles ${JSON_TYPE}`, plain()),
    request(`benchmark POST /v1/profiles ${JSON_TYPE}`, exampleProfile('device', [1, 2, 3, 4])),
    request(`benchmark POST /v1/benchmarks ${JSON_TYPE}`, { model: 'chain', resources: ['device'] }),
    request(`planner POST /v1/keys ${JSON_TYPE}`, { kind: 'client', name: 'camera', infer: ['net*'] }),
    request(
      `inference PUT /v1/deployments/split ${JSON_TYPE}`,
      exampleDeployment('split', [{ resource: 'device', from: 0, to: 4 }]),
    ),
    request(`inference POST /v2/models/branched/infer ${JSON_TYPE}`, {
      id: '1',
      inputs: [INPUT],
      outputs: [{ name: 'y' }],
    }),
    request(`inference POST /v2/models/branched:0-2/infer ${JSON_TYPE}`, { inputs: [INPUT] }),
    request(`inference POST /v2/models/words/infer ${JSON_TYPE}`, {
      inputs: [{ name: 'x', shape: [1], datatype: 'BYTES', data: ['a'] }],
    }),
    request(
      `inference POST /v2/models/branched/infer ${BYTES_TYPE} ${BINARY.length}`,
      Buffer.concat([BINARY, Buffer.alloc(8)]),
    ),
    request(`inference POST /v2/models/linear/infer ${BYTES_TYPE} 0`, Buffer.alloc(16)),
    request(`inference POST /v2/repository/models/branched/load ${JSON_TYPE}`, {}),
    request(`inference POST /v2/repository/models/branched/unload ${JSON_TYPE}`, {
      parameters: { unload_dependents: true },
    }),
    request(`inference POST /v2/repository/index ${JSON_TYPE}`, { ready: true }),
    request('inference GET /v1/link-probe?bytes=1000 -'),
  ]
}

const pathOf = (path: string): string =>
  path
    .replace('{from}-{to}', '0-2')
    .replace('{range}', '0-2')
    .replace('{id}', 'split')
    .replace('{name}', 'device')
    .replace('{from}', 'device')
    .replace('{to}', 'edge')
    .replace('{model}', path.startsWith('/v2') ? 'branched' : 'chain')
    .replaceAll(/\{\w+\}/g, MODEL_ID)

/** One of every route that a service describes. */
async function describedRequests(service: ServiceName, url: string): Promise<Buffer[]> {
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as Description
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { requestBody }]) => {
      const [type = '-'] = Object.keys(requestBody?.content ?? {})
      return request(
        `${service} ${method.toUpperCase()} ${pathOf(path)} ${type.replaceAll(' ', '')}`,
        type === JSON_TYPE ? {} : '',
      )
    }),
  )
}

/** Ends a target with the services still there and ready. */
async function withSystem(
  seedsOf: (urlOf: (service: ServiceName) => string) => Promise<Buffer[]>,
  send: (urlOf: (service: ServiceName) => string, input: Uint8Array) => Promise<void>,
): Promise<OpenTarget> {
  const system = await startFuzzedSystem()
  let sent = 0
  return {
    seeds: await seedsOf(system.urlOf),
    run: async (input) => {
      await send(system.urlOf, input)
      sent += 1
      if (sent % REFRESH_EVERY > 0) return
      await system.refresh()
      await system.checkReady()
    },
    close: async () => {
      try {
        await system.checkReady()
      } finally {
        await system.close()
      }
    },
  }
}

export const requests: Target = {
  name: 'requests',
  share: 8,
  sample: 250,
  ...WAITING,
  firstLine: true,
  open: () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    return withSystem(
      async (urlOf) => {
        const described = await Promise.all(
          SERVICES.map((service) => describedRequests(service, urlOf(service))),
        )
        return [...described.flat(), ...furtherRequests(), ...furtherRequests()]
      },
      (urlOf, input) => {
        const at = input.indexOf(10)
        const [service, method = '', path = '', type, length] = Buffer.from(
          input.subarray(0, Math.max(0, at)),
        )
          .toString('latin1')
          .split(' ')
        const body = input.subarray(at + 1)
        const headers: Record<string, string> = {
          ...(type && type !== '-' && { 'Content-Type': type }),
          ...(length && { 'Inference-Header-Content-Length': length }),
        }
        const name = SERVICES.find((one) => one === service) ?? 'planner'
        return ask({ method, url: `${urlOf(name)}/${path.replace(/^\//, '')}`, headers, body }, agent)
      },
    )
  },
}

/** A whole request as bytes. */
const wire = (
  line: string,
  headers: Record<string, string | number>,
  body: Uint8Array | string = '',
): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${line} HTTP/1.1\r\n${Object.entries({ Host: '127.0.0.1', ...headers })
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n`,
    ),
    Buffer.from(body),
  ])

function wireSeeds(): Buffer[] {
  const json = JSON.stringify({ inputs: [INPUT] })
  const infer = 'POST /v2/models/branched/infer'
  const binary = Buffer.concat([BINARY, Buffer.alloc(8)])
  const upload = form({ name: { content: 'net' }, model: { content: 'no model', file: 'a.onnx' } })
  const zipped = gzipSync(json)
  return [
    wire(infer, { 'Content-Type': JSON_TYPE, 'Content-Length': json.length }, json),
    wire(
      infer,
      {
        'Content-Type': BYTES_TYPE,
        'Inference-Header-Content-Length': BINARY.length,
        'Content-Length': binary.length,
      },
      binary,
    ),
    wire(
      infer,
      { 'Content-Encoding': 'gzip', 'Content-Length': zipped.length, 'Accept-Encoding': 'gzip, deflate' },
      zipped,
    ),
    wire(
      infer,
      { 'Transfer-Encoding': 'chunked', Expect: '100-continue' },
      `${json.length.toString(16)}\r\n${json}\r\n0\r\nA: b\r\n\r\n`,
    ),
    Buffer.concat([wire('GET /v1/models', {}), wire('GET /readyz', { Connection: 'close' })]),
    wire('GET /v1/plans?model=chain', {
      Authorization: 'Bearer scn_abc_AAAA',
      'Scission-At-Least-Revision': 'latest',
    }),
    wire('GET /v1/resources', {
      Origin: 'http://127.0.0.1',
      'Sec-Fetch-Site': 'same-origin',
      'X-Forwarded-For': '127.0.0.1',
    }),
    wire('GET /v1/deployments/split/events', { Accept: 'text/event-stream', 'Last-Event-ID': '3' }),
    wire('POST /v1/models', { 'Content-Type': FORM_TYPE, 'Content-Length': upload.length }, upload),
    wire('GET /v1/models/chain/files/model.onnx', { Range: 'bytes=0-99', 'If-None-Match': '"a"' }),
    wire('OPTIONS *', { Upgrade: 'websocket', Connection: 'Upgrade' }),
    wire('PUT /v1/links/device/edge', { 'Content-Type': JSON_TYPE, 'Content-Length': 2 }, '{}'),
  ]
}

export const wires: Target = {
  name: 'wire',
  share: 4,
  sample: 150,
  ...WAITING,
  open: () =>
    withSystem(
      async () => wireSeeds(),
      async (urlOf, input) => {
        for (const service of SERVICES) await sendBytes(urlOf(service), input)
      },
    ),
}
