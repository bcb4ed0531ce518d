/** Whether another machine answers at the address of a peer, and for how long. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Peer } from '../../../services/inference/registration/peers.ts'
import { WrongMachines } from '../../../services/inference/registration/wrong-machines.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { eventually } from '../../support/eventually.ts'
import { exampleResource } from '../../support/fixtures.ts'
import { type StubServer, stubServer } from '../../support/stub-server.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A peer "edge" whose address is that of a server that says it is `health`. */
async function setUp() {
  const health = { service: 'inference', resource: 'cloud', instance: 'c' }
  const server: StubServer = await stubServer((_req, res) => res.end(JSON.stringify(health)))
  const { url } = server
  const peerWith = (changes: { instance?: string; url?: string }): Peer => {
    const resource = exampleResource('edge', { url, instance: 'e', ...changes })
    return { resource, url: resource.url, emulation: undefined }
  }
  const known: { now: Peer | Error } = { now: peerWith({}) }
  const told: string[] = []
  const wrong = new WrongMachines({
    resource: 'device',
    peers: {
      findNow: async () => {
        if (known.now instanceof Error) throw known.now
        return known.now
      },
    },
    conditions: {
      begin: ({ message }) => (told.push(`began: ${message}`), 'id'),
      end: (id, why) => told.push(`ended: ${id}: ${why}`),
    },
    everyMs: 20,
  })
  closing.push(
    () => wrong.close(),
    () => server.close(),
  )
  return { health, peerWith, known, told, wrong }
}

describe('a peer at whose address another machine answers', () => {
  it('is told, until the peer itself answers', async () => {
    const { health, peerWith, told, wrong } = await setUp()
    expect((await wrong.look(peerWith({})))?.message).toMatch(/the inference service "cloud" answered/)
    Object.assign(health, { resource: 'edge', instance: 'e' })
    await eventually(() =>
      expect(told).toEqual([
        expect.stringMatching(/^began: device looked for edge/),
        'ended: wrong-machine/device/edge: edge itself answers at its address now',
      ]),
    )
  })

  it('is over once the peer has left, not while nobody can say', async () => {
    const { peerWith, known, told, wrong } = await setUp()
    await wrong.look(peerWith({}))
    known.now = new ScissionError('queueUnavailable', 'Redis is away')
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(told).toHaveLength(1)
    known.now = new ScissionError('peerUnavailable', 'resource edge is not registered')
    await eventually(() => expect(told.at(-1)).toBe('ended: wrong-machine/device/edge: edge has left'))
  })

  it.each([
    ['started again', { instance: 'another' }],
    ['moved', { url: 'http://127.0.0.1:9' }],
  ])('is not told of one that has %s meanwhile', async (_what, changes) => {
    const { peerWith, known, told, wrong } = await setUp()
    known.now = peerWith(changes)
    expect(await wrong.look(peerWith({}))).toBeUndefined()
    expect(told).toEqual([])
  })

  it('behind a route has that corrected', async () => {
    const { peerWith, known, wrong } = await setUp()
    const { url } = peerWith({})
    const peer = { ...peerWith({ url: 'http://192.0.2.7:8090' }), url }
    known.now = peer
    expect((await wrong.look(peer))?.message).toMatch(
      /correct the address of edge in SCISSION_ROUTES of device$/,
    )
  })
})
