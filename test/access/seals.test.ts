/** Whoever reaches Redis can write there: what services believe of it is what services of the system have signed. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KeyRecord } from '../../shared/contracts/key.ts'
import type { Resource } from '../../shared/contracts/resource.ts'
import { SystemAccess } from '../../shared/platform/access/system-access.ts'
import { newSystemKey } from '../../shared/platform/access/system-key.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openSeal, type Seal, sealText } from '../../shared/platform/redis/seal.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { eventually } from '../support/eventually.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { type SecuredServices, send, startSecuredServices } from './services.ts'

let system: SecuredServices
const opened: State[] = []

beforeAll(async () => {
  system = await startSecuredServices()
})
afterAll(async () => {
  for (const state of opened) state.redis.disconnect()
  await system.close()
})

/** The shared state as a service sees it. @param env its settings. */
function asSeenBy(
  name: string,
  env: NodeJS.ProcessEnv,
): { state: State; lines: string[]; seal: Seal | undefined } {
  const { log, lines } = recordedLog()
  const access = new SystemAccess(
    readConfig(PLANNER_SETTINGS, { REDIS_URL: system.redis.url, ...env }),
    name,
    log,
  )
  const state = openState(workerConnection(system.redis.url), log, access.seal)
  access.follow(state)
  opened.push(state)
  return { state, lines, seal: access.seal }
}

const EXPOSED = { SCISSION_HOST: '0.0.0.0' }
const resource = (name: string): Resource => ({
  name,
  tier: 'edge',
  tierIndex: 1,
  url: `http://127.0.0.1:1/${name}`,
  machine: {
    cpuModel: 'x',
    cores: 1,
    memoryBytes: 1,
    platform: 'linux',
    arch: 'x64',
    node: 'v20',
    onnxruntime: '1',
  },
  options: { optimisation: 'all', threads: 1 },
  slowdown: 1,
  emulated: false,
  startedAt: new Date(0).toISOString(),
  heartbeatAt: new Date(0).toISOString(),
})

describe('a seal', () => {
  const document = fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { minKeys: 1 })

  it('comes off as it was put on, whatever the document', () => {
    fc.assert(
      fc.property(document, fc.string(), (content, id) => {
        const text = JSON.stringify(content)
        const sealed = sealText('kind', id, text, { by: 'edge', sign: () => 's'.repeat(86) })
        expect(openSeal('kind', id, sealed)).toEqual({
          by: 'edge',
          signature: 's'.repeat(86),
          text,
          message: `kind\n${id}\nedge\n${text}`,
        })
        const { sealed: _seal, ...rest } = JSON.parse(sealed) as Record<string, unknown>
        expect(JSON.stringify(rest)).toBe(
          JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text) as object))),
        )
      }),
    )
  })

  it('does not hold for a text that differs in any byte, for another id, or in another collection', async () => {
    const { seal } = asSeenBy('planner', { SCISSION_SYSTEM_KEY: system.keyText })
    const text = seal?.close('resources', 'edge', JSON.stringify(resource('edge'))) ?? ''
    expect(await seal?.fault('resources', 'edge', text)).toBeUndefined()
    expect(await seal?.fault('resources', 'cloud', text)).toContain('signature')
    expect(await seal?.fault('deployments', 'edge', text)).toContain('signature')
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 1), fc.nat(94), async (at, code) => {
        const other = String.fromCharCode(32 + code)
        if (text[at] === other) return
        const changed = text.slice(0, at) + other + text.slice(at + 1)
        const fault = await seal?.fault('resources', 'edge', changed)
        // Where the seal itself no longer reads as one, the document counts as unsigned.
        if (openSeal('resources', 'edge', changed)) expect(fault).toBeDefined()
      }),
      { numRuns: 300 },
    )
  })
})

describe('a record that nobody of the system has signed', () => {
  it('is left out, and said, where a service can be reached from elsewhere', async () => {
    const { state, lines } = asSeenBy('planner', { ...EXPOSED, SCISSION_SYSTEM_KEY: system.keyText })
    await state.resources.put('true', resource('true'))
    await state.redis.hset('scission:resources', 'forged', JSON.stringify(resource('forged')))
    expect((await state.resources.all()).map(({ name }) => name)).toContain('true')
    expect((await state.resources.all()).map(({ name }) => name)).not.toContain('forged')
    expect(await state.resources.find('forged')).toBeUndefined()
    expect(lines.join('\n')).toContain('resources forged in Redis is not to be believed: it is not signed')
    await state.redis.hdel('scission:resources', 'forged')
  })

  it('counts where only this machine reaches a service: an earlier version may have written it', async () => {
    const { state } = asSeenBy('planner', { SCISSION_SYSTEM_KEY: system.keyText })
    await state.redis.hset('scission:resources', 'earlier', JSON.stringify(resource('earlier')))
    expect((await state.resources.find('earlier'))?.name).toBe('earlier')
    await state.redis.hdel('scission:resources', 'earlier')
  })

  it('is left out everywhere if another system signed it', async () => {
    const stranger = asSeenBy('planner', { SCISSION_SYSTEM_KEY: newSystemKey() })
    await stranger.state.resources.put('strange', resource('strange'))
    const { state, lines } = asSeenBy('planner', { SCISSION_SYSTEM_KEY: system.keyText })
    expect(await state.resources.find('strange')).toBeUndefined()
    expect(lines.join('\n')).toContain('its signature is not the system key’s')
    await state.redis.hdel('scission:resources', 'strange')
  })

  it('is replaced by one that counts', async () => {
    const { state } = asSeenBy('planner', { ...EXPOSED, SCISSION_SYSTEM_KEY: system.keyText })
    await state.redis.hset(
      'scission:resources',
      'edge',
      JSON.stringify({ ...resource('edge'), url: 'http://evil' }),
    )
    expect(await state.resources.add('edge', resource('edge'))).toBe(true)
    expect((await state.resources.need('edge')).url).toBe(resource('edge').url)
  })
})

describe('a key that nobody has made', () => {
  it('lets nobody in, although it stands in Redis with a hash that fits', async () => {
    const { id, token } = await system.keys.add({ kind: 'client', name: 'x' }, 'test')
    const text = await system.state.redis.hget('scission:keys', id)
    const record = JSON.parse(text ?? '') as KeyRecord & { sealed: unknown }
    const url = `${system.urlOf('planner', 'everything')}/v1/keys`
    expect((await send('GET', url, token)).status).toBe(403)
    // Its owner writes into Redis that it is an operator's.
    await system.state.redis.hset('scission:keys', id, JSON.stringify({ ...record, kind: 'operator' }))
    await eventually(async () => expect((await send('GET', url, token)).status).toBe(401))
    const { sealed: _, ...unsigned } = record
    await system.state.redis.hset('scission:keys', id, JSON.stringify({ ...unsigned, kind: 'operator' }))
    expect((await send('GET', url, token)).status).toBe(401)
  })

  it('stays revoked although its earlier record is brought back', async () => {
    const { id, token } = await system.keys.add({ kind: 'operator', name: 'x' }, 'test')
    const url = `${system.urlOf('planner', 'everything')}/v1/keys`
    expect((await send('GET', url, token)).status).toBe(200)
    const before = await system.state.redis.hget('scission:keys', id)
    await system.keys.revoke(id)
    await eventually(async () => expect((await send('GET', url, token)).status).toBe(401))
    await system.state.redis.hset('scission:keys', id, before ?? '')
    for (let waits = 0; waits < 4; waits += 1) {
      await new Promise((resolve) => setTimeout(resolve, 600))
      expect((await send('GET', url, token)).status).toBe(401)
    }
  })
})

describe('a machine that has only the public key and a token of its own', () => {
  const machine = async (name: string) => {
    const { token } = await system.keys.add({ kind: 'resource', name }, 'test')
    return asSeenBy(name, {
      ...EXPOSED,
      SCISSION_SYSTEM_KEY: system.systemKey.publicText,
      SCISSION_TOKEN: token,
    })
  }

  it('is believed about itself and not about another machine, a deployment or a key', async () => {
    const edge = await machine('edge')
    const planner = asSeenBy('planner', { ...EXPOSED, SCISSION_SYSTEM_KEY: system.keyText })
    await edge.state.resources.put('edge', resource('edge'))
    expect((await planner.state.resources.find('edge'))?.name).toBe('edge')
    await edge.state.resources.put('cloud', resource('cloud'))
    expect(await planner.state.resources.find('cloud')).toBeUndefined()
    expect(planner.lines.join('\n')).toContain('edge may not write it')
    const { id } = await system.keys.add({ kind: 'client', name: 'c' }, 'test')
    const record = await system.state.keys.need(id)
    await edge.state.keys.put('made-up', { ...record, id: 'made-up', kind: 'operator' })
    expect(await planner.state.keys.find('made-up')).toBeUndefined()
    // It reads what the others have signed with the system key.
    await planner.state.resources.put('core', resource('core'))
    expect((await edge.state.resources.find('core'))?.name).toBe('core')
  })

  it('is not believed any more once its key is revoked', async () => {
    const { id, token } = await system.keys.add({ kind: 'resource', name: 'lost' }, 'test')
    const env = { ...EXPOSED, SCISSION_SYSTEM_KEY: system.systemKey.publicText, SCISSION_TOKEN: token }
    const lost = asSeenBy('lost', env)
    const planner = asSeenBy('planner', { ...EXPOSED, SCISSION_SYSTEM_KEY: system.keyText })
    await lost.state.resources.put('lost', resource('lost'))
    expect((await planner.state.resources.find('lost'))?.name).toBe('lost')
    await system.keys.revoke(id)
    await eventually(async () => expect(await planner.state.resources.find('lost')).toBeUndefined())
  })

  it('needs that token', () => {
    const config = readConfig(PLANNER_SETTINGS, { SCISSION_SYSTEM_KEY: system.systemKey.publicText })
    expect(() => new SystemAccess(config, 'edge', recordedLog().log)).toThrow(
      'scission keys add resource edge',
    )
  })
})
