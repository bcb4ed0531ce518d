/** Opens the listening sockets of a service: one for all callers, or one for clients and one for the other services. */
import type { Door } from '../access/guard.ts'
import type { BindSettings } from '../access/bind.ts'
import type { Tls } from '../access/tls.ts'
import type { App } from '../http-server/app.ts'
import { type Listening, listen } from '../http-server/listen.ts'
import type { ServerLimits } from '../http-server/server-limits.ts'
import { isLoopback } from '../loopback.ts'

export interface DoorSettings extends BindSettings, ServerLimits {
  port: number
}

export interface OpenDoors extends Omit<Listening, 'port'> {
  /** Absent if it has one door for all. */
  internalUrl?: string
}

/** @throws the socket's error, e.g. EADDRINUSE. Then no door is open. */
export async function openDoors(
  app: App,
  settings: DoorSettings,
  tls?: Tls,
  mainPath?: string,
): Promise<OpenDoors> {
  const { host, port, internalHost, internalPort } = settings
  const open = (shows: Door['shows'], at: string, on: number) =>
    listen(
      app.at({ shows, asks: asksAt(at, settings) }),
      on,
      at,
      mainPath,
      settings,
      tls?.serves ? tls : undefined,
    )
  if (internalPort === '') return open('everything', host, port)
  const front = await open('public', host, port)
  try {
    const back = await open('internal', internalHost || host, internalPort)
    return {
      url: front.url,
      internalUrl: back.url,
      socket: `${front.socket} and, for services, ${back.socket}`,
      close: async () => void (await Promise.all([front.close(), back.close()])),
    }
  } catch (thrown) {
    await front.close()
    throw thrown
  }
}

const asksAt = (host: string, { insecure, identity }: DoorSettings): boolean =>
  identity === 'always' || !(isLoopback(host) || insecure)
