import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type LinkEmulator, startLinkEmulator } from '../../../infra/testbed/link-emulator/emulator.ts'
import { startLinkEmulatorProcess } from '../../../infra/testbed/link-emulator/remote.ts'
import type { LinkSettings } from '../../../infra/testbed/link-emulator/settings.ts'
import { startProcess } from '../../../infra/start/processes/process.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { NETWORK_NAMES, NETWORK_PRESETS } from '../../../shared/contracts/network-presets.ts'
import { eventually, until } from '../../support/eventually.ts'
import {
  connect,
  downloadMbps,
  firstWords,
  type Peer,
  readAll,
  roundTripMs,
  startPeer,
  uploadMbps,
} from './peers.ts'

const log = createLog('test', 'silent')
const FREE: LinkSettings = { rttMs: 0, upMbps: null, downMbps: null }

let peer: Peer
let emulator: LinkEmulator | undefined
beforeAll(async () => {
  peer = await startPeer()
})
afterAll(() => peer.close())
afterEach(async () => {
  await emulator?.close()
  emulator = undefined
})

/** One link to the peer; returns its port. */
async function link(settings: Partial<LinkSettings>, targetPort = peer.port): Promise<number> {
  emulator = await startLinkEmulator([
    { ...FREE, ...settings, name: 'link', target: { host: '127.0.0.1', port: targetPort } },
  ])
  return emulator.ports.link ?? 0
}

/*
 * Measured on a machine that is also doing other things. Those make a link slower, never faster: no measurement may
 * find it faster than set, and one must find it about as fast. An emulator that is wrong is wrong every time.
 */

/** Up to a quarter or 3 ms too much. */
async function expectRoundTrip(measure: () => Promise<number>, rttMs: number): Promise<void> {
  const seenMs: number[] = []
  await eventually(async () => {
    seenMs.push(await measure())
    expect(seenMs.at(-1)).toBeLessThan(Math.max(rttMs * 1.25, rttMs + 3))
  })
  expect(Math.min(...seenMs)).toBeGreaterThan(rttMs - 0.5)
}

/** Within a tenth. */
async function expectRate(measure: () => Promise<number>, mbps: number): Promise<void> {
  const seenMbps: number[] = []
  await eventually(async () => {
    seenMbps.push(await measure())
    expect(seenMbps.at(-1)).toBeGreaterThan(mbps * 0.9)
  })
  expect(Math.max(...seenMbps)).toBeLessThan(mbps * 1.1)
}

/** Bytes that have reached the peer, over all connections so far. */
const received = () => peer.received.reduce((sum, bytes) => sum + bytes, 0)

describe('the round trip through a link', () => {
  it.each([0, 4, 20, 66.7])('of %d ms is that long', async (rttMs) => {
    const port = await link({ rttMs })
    await expectRoundTrip(() => roundTripMs(port), rttMs)
  })

  it.each(NETWORK_NAMES)('of the preset %s is as long as the preset says', async (name) => {
    const { rttMs, upMbps, downMbps } = NETWORK_PRESETS[name]
    const port = await link({ rttMs, upMbps, downMbps })
    await expectRoundTrip(() => roundTripMs(port, 8), rttMs)
  })

  it('is paid once more for the connection', async () => {
    const port = await link({ rttMs: 60 })
    const first = async () => {
      // The link counts from when it accepts, which may be a while before this side hears of it.
      const start = performance.now()
      const socket = await connect(port)
      socket.write('e')
      await once(socket, 'data')
      socket.destroy()
      return performance.now() - start
    }
    await expectRoundTrip(first, 120)
  })
})

describe('the bandwidth of a link', () => {
  it.each([
    { upMbps: 1.6, downMbps: 20, rttMs: 66.7 },
    { upMbps: 18.88, downMbps: 5.85, rttMs: 10 },
    { upMbps: 50, downMbps: 100, rttMs: 20 },
  ])('is $upMbps Mbit/s up and $downMbps down, each by itself', async (settings) => {
    const port = await link(settings)
    // About 0.3 s each.
    const bytesIn = (mbps: number) => Math.round((mbps * 1e6 * 0.3) / 8)
    await expectRate(() => uploadMbps(port, bytesIn(settings.upMbps), settings.rttMs), settings.upMbps)
    await expectRate(() => downloadMbps(port, bytesIn(settings.downMbps), settings.rttMs), settings.downMbps)
  })

  it('is shared evenly by the connections of a direction', async () => {
    const port = await link({ upMbps: 20 })
    const bytes = 250_000
    let alone: number[] = []
    const together = async () => {
      const start = performance.now()
      alone = await Promise.all([1, 2, 3, 4].map(() => uploadMbps(port, bytes, 0)))
      return (4 * bytes * 8) / 1000 / (performance.now() - start)
    }
    await expectRate(together, 20)
    await eventually(async () => {
      await together()
      // Each had a quarter all the time, so all were done at about the same time.
      for (const mbps of alone) expect(mbps).toBeLessThan(5 * 1.3)
    })
  })

  it('lets a small message pass while another connection sends a lot', async () => {
    const port = await link({ upMbps: 5, downMbps: 5 })
    await eventually(async () => {
      const [before, connection] = [received(), peer.received.length]
      // 1 MB needs 1.6 s. One at a time would let the small ones wait for all of it.
      const large = uploadMbps(port, 1_000_000, 0)
      try {
        await until(async () => received() > before)
        expect(await roundTripMs(port, 8)).toBeLessThan(60)
        expect(peer.received[connection]).toBeLessThan(1_000_000)
      } finally {
        await large
      }
    })
  })

  it('is not limited when none is given', async () => {
    const port = await link({})
    await eventually(async () => expect(await uploadMbps(port, 20_000_000, 0)).toBeGreaterThan(200))
  })
})

describe('a link carries', () => {
  it('every byte in order, whatever its settings and however the bytes are cut', async () => {
    const rate = fc.option(fc.double({ min: 20, max: 2000, noNaN: true }), { nil: null })
    const settings = fc.record({
      rttMs: fc.double({ min: 0, max: 8, noNaN: true }),
      upMbps: rate,
      downMbps: rate,
    })
    const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3000 }), { minLength: 1, maxLength: 20 })
    const law = async (chosen: LinkSettings, chunks: Uint8Array[]) => {
      const port = await link(chosen)
      const socket = await connect(port)
      socket.write('e')
      for (const chunk of chunks) socket.write(chunk)
      socket.end()
      const sent = Buffer.concat([Buffer.from('e'), ...chunks])
      expect((await readAll(socket)).equals(sent)).toBe(true)
      const statistics = (await emulator?.stats())?.link
      expect(statistics).toMatchObject({ upBytes: sent.length, downBytes: sent.length })
      await emulator?.close()
    }
    await fc.assert(fc.asyncProperty(settings, pieces, law), { numRuns: 25 })
  })

  it('the end of one direction while the other goes on', async () => {
    const port = await link({ rttMs: 10, downMbps: 50 })
    const socket = await connect(port)
    // The peer answers only after our end has reached it.
    socket.end(`s${'x'.repeat(99)}`)
    expect((await readAll(socket)).toString()).toBe('100')
    await expect.poll(async () => (await emulator?.stats())?.link?.openConnections).toBe(0)
  })

  it('a reset by the target to the client, and one by the client to the target', async () => {
    const port = await link({ rttMs: 10 })
    const reset = await connect(port)
    reset.write('r')
    await expect(once(reset, 'data')).rejects.toThrow(/ECONNRESET/)

    const client = await connect(port)
    client.write('e')
    await once(client, 'data')
    const atPeer = peer.sockets.at(-1)
    client.resetAndDestroy()
    await expect.poll(() => atPeer?.errored?.message).toMatch(/ECONNRESET/)
  })

  it('the refusal of a target that is down', async () => {
    const port = await link({ rttMs: 20 }, 1)
    const socket = await connect(port)
    socket.write('e')
    await expect(once(socket, 'data')).rejects.toThrow(/ECONNRESET/)
    await expect
      .poll(async () => (await emulator?.stats())?.link)
      .toMatchObject({ refused: 1, openConnections: 0 })
  })
})

describe('back-pressure', () => {
  it('reaches a sender whose receiver does not read', async () => {
    const port = await link({ rttMs: 4, upMbps: 1000 })
    const before = peer.sockets.length
    const socket = await connect(port)
    socket.write('s')
    await expect.poll(() => peer.received[before]).toBe(1)
    const receiver = peer.sockets[before]
    receiver?.pause()
    const total = 64 * 1024 * 1024
    const delivered = async () => (await emulator?.stats())?.link?.upBytes ?? 0
    socket.write(Buffer.alloc(total))
    // Kernel buffers fill, then nothing moves.
    let last = -1
    const standsStill = async () => last === (last = await delivered())
    await expect.poll(standsStill, { interval: 300 }).toBe(true)
    expect(last).toBeLessThan(total / 2)
    expect(socket.writableLength).toBeGreaterThan(0)
    receiver?.resume()
    await expect.poll(delivered).toBe(total + 1)
    socket.destroy()
  })
})

describe('a link under control', () => {
  it('changes while it is in use', async () => {
    const port = await link({ rttMs: 4 })
    await expectRoundTrip(() => roundTripMs(port), 4)
    await emulator?.set('link', { rttMs: 40, upMbps: 10 })
    await expectRoundTrip(() => roundTripMs(port, 8), 40)
    await expectRate(() => uploadMbps(port, 300_000, 40), 10)
  })

  it('that is cut lets nothing pass, and everything after it is restored', async () => {
    const port = await link({ rttMs: 4 })
    const socket = await connect(port)
    socket.write('e')
    await once(socket, 'data')
    await emulator?.cut('link')
    let heard = ''
    socket.on('data', (data: Buffer) => {
      heard += data.toString()
    })
    socket.write('one')
    const late = await connect(port)
    late.write('e')
    await sleep(150)
    expect(heard).toBe('')
    await emulator?.restore('link')
    await once(late, 'data')
    await expect.poll(() => heard).toBe('one')
    socket.destroy()
    late.destroy()
  })

  it('that is cut by resetting ends what is open and what comes', async () => {
    const port = await link({ rttMs: 4 })
    const socket = await connect(port)
    socket.write('e')
    await once(socket, 'data')
    await Promise.all([
      expect(once(socket, 'data')).rejects.toThrow(/ECONNRESET/),
      emulator?.cut('link', 'reset'),
    ])
    await expect(firstWords(port)).rejects.toThrow(/ECONNRESET/)
    await emulator?.restore('link')
    await expectRoundTrip(() => roundTripMs(port, 5), 4)
  })

  it('is refused with a reason when it is told nonsense', async () => {
    await link({})
    await expect(emulator?.set('link', { rttMs: -1 })).rejects.toThrow(/rttMs/)
    await expect(emulator?.cut('lnik')).rejects.toThrow(/unknown link lnik; known: link/)
    const twice = [1, 2].map(() => ({ ...FREE, name: 'a', target: { host: '127.0.0.1', port: 1 } }))
    await expect(startLinkEmulator(twice)).rejects.toThrow(/two links are called a/)
    const taken = [{ ...FREE, name: 'a', listenPort: peer.port, target: { host: '127.0.0.1', port: 1 } }]
    await expect(startLinkEmulator(taken)).rejects.toThrow(/link a cannot listen on .*EADDRINUSE/)
  })
})

describe('the emulator as a process', () => {
  it('delays, meters, and ends', async () => {
    const target = { host: '127.0.0.1', port: peer.port }
    const remote = await startLinkEmulatorProcess(
      (options) => startProcess({ ...options, log }),
      [{ name: 'device>edge', target, rttMs: 20, upMbps: 10, downMbps: null }],
    )
    try {
      const port = remote.ports['device>edge'] ?? 0
      await expectRoundTrip(() => roundTripMs(port), 20)
      await expectRate(() => uploadMbps(port, 300_000, 20), 10)
    } finally {
      await remote.close()
    }
    await expect(connect(remote.ports['device>edge'] ?? 0)).rejects.toThrow(/ECONNREFUSED/)
  })

  it('says what is wrong with its links', async () => {
    const starting = startLinkEmulatorProcess(
      (options) => startProcess({ ...options, log }),
      [{ ...FREE, name: 'a', target: { host: '127.0.0.1', port: 0 } }],
    )
    await expect(starting).rejects.toThrow(/link emulator ended with code 1[\s\S]*target/)
  })
})
