/** Documents that somebody else wrote into Redis: every list can be asked for meanwhile. */
import http from 'node:http'
import { ask } from '../ask.ts'
import { putDocument, type ServiceName, startFuzzedSystem } from '../system.ts'
import { type Target, text } from '../target.ts'
import { exampleDocuments } from './documents.ts'

const READS: Readonly<Record<ServiceName, readonly string[]>> = {
  benchmark: ['/v1/models', '/v1/models/chain', '/v1/profiles', '/v1/calibrations', '/v1/benchmarks'],
  planner: [
    '/v1/resources',
    '/v1/links',
    '/v1/deployments',
    '/v1/conditions',
    '/v1/keys',
    '/v1/plans?model=chain',
    '/v1/plans?model=chain&view=graph',
  ],
  inference: [
    '/v2/repository/index',
    '/v2/models/branched',
    '/v2/models/split',
    '/v2/models/chain',
    '/metrics',
  ],
}

/** `COLLECTION ID`, then the document. */
const seeds = () =>
  Object.entries(exampleDocuments()).flatMap(([kind, documents]) =>
    Object.entries(documents).map(([id, document]) =>
      Buffer.concat([Buffer.from(`${kind} ${id}\n`), text(document)]),
    ),
  )

export const redisDocuments: Target = {
  name: 'redis',
  share: 1,
  sample: 20,
  deadlineMs: 60_000,
  growthBytes: 500 * 2 ** 20,
  firstLine: true,
  open: async () => {
    const system = await startFuzzedSystem()
    const documents = exampleDocuments()
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    return {
      seeds: seeds(),
      run: async (input) => {
        const at = input.indexOf(10)
        const [kind = '', id = ''] = Buffer.from(input.subarray(0, Math.max(0, at)))
          .toString()
          .split(' ')
        await putDocument(system.state, kind, id, Buffer.from(input.subarray(at + 1)))
        for (const [service, paths] of Object.entries(READS))
          for (const path of paths) {
            const url = `${system.urlOf(service as ServiceName)}${path}`
            await ask({ method: 'GET', url, headers: {}, body: new Uint8Array() }, agent)
          }
        const own: unknown = Object.hasOwn(documents, kind) ? documents[kind]?.[id] : undefined
        await system.state.redis.hdel(`scission:${kind}`, id)
        if (own !== undefined) await putDocument(system.state, kind, id, JSON.stringify(own))
      },
      close: async () => {
        try {
          await system.checkReady()
        } finally {
          await system.close()
        }
      },
    }
  },
}
