/** A peer whose answer never ends: links are measured together, and the others wait; what it sends takes memory. */
import { afterEach, expect, it, vi } from 'vitest'
import { Pinger } from '../../../services/inference/links/pinger.ts'
import { StopClock } from '../../../services/inference/links/stop-clock.ts'
import { Prober } from '../../../services/inference/links/probe.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { rawServer } from '../../support/raw-server.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closing.splice(0)) await close()
})

it('is given up after a minute if it drips', async () => {
  let ask = () => {}
  const asked = new Promise<void>((resolve) => (ask = resolve))
  const server = await rawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n')
    const dripping = setInterval(() => socket.write('x'), 20)
    socket.on('close', () => clearInterval(dripping))
    ask()
  })
  const stops = new StopClock()
  const prober = new Prober(server.url, stops, () => undefined)
  closing.push(
    () => prober.close(),
    () => stops.close(),
    server.stop,
  )
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  let told: unknown
  const isOver = prober.up(1).catch((thrown: unknown) => (told = thrown))
  await asked
  await vi.advanceTimersByTimeAsync(59_000)
  expect(told).toBeUndefined()
  await vi.advanceTimersByTimeAsync(1000)
  vi.useRealTimers()
  await isOver
  expect(told).toEqual(new Error('no answer'))
})

it('is given up at once if it floods', async () => {
  const server = await rawServer((socket) => {
    const flood = () => {
      while (!socket.destroyed && socket.write('x'.repeat(16 * 1024)));
    }
    socket.on('drain', flood)
    flood()
  })
  const pinger = new Pinger(new URL(server.url), PATIENCE_MS)
  closing.push(() => pinger.close(), server.stop)
  await expect(pinger.ping()).rejects.toThrow('its answer is longer than 65536 bytes')
})
