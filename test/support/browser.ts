/**
 * A headless Chromium of this machine, over its DevTools protocol: what a page shows, and where its requests go. It has no proxy
 * and knows no host but those that it is told of, as a browser in a network without internet.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { WebSocket } from 'undici'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { kill } from './kill.ts'

/** Undefined: there is none. */
export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
  .map((command) => findOnPath(command))
  .find((found) => found !== undefined)

export interface Page {
  /** URLs that it has asked for. */
  requests: string[]
  /** What it complained of: scripts that failed, resources that were blocked. */
  complaints: string[]
  /** The value of a JavaScript expression in the page. */
  evaluate: (expression: string) => Promise<unknown>
}

export interface Browser {
  open: (url: string) => Promise<Page>
  close: () => Promise<void>
}

/** @param hosts name → address; an address is reached as itself. */
export async function startBrowser(hosts: Readonly<Record<string, string>>): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error('there is no Chromium on the PATH')
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-browser-'))
  const rules = Object.entries(hosts).map(([name, address]) => `MAP ${name} ${address}`)
  const child = spawn(
    CHROMIUM,
    [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--no-proxy-server',
      `--host-resolver-rules=${rules.join(', ')}`,
      `--user-data-dir=${folder}`,
      '--remote-debugging-port=0',
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const ended = new Promise((resolve) => child.once('close', resolve))
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) kill(child)
    await ended
    // Its helpers may still write for a moment.
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
  try {
    const devTools = await connect(await addressOf(child))
    return { open: (url) => openPage(devTools, url), close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

/** The address that it prints once it can be driven. */
async function addressOf({ stderr }: ChildProcess): Promise<string> {
  const lines: string[] = []
  if (stderr)
    for await (const line of createInterface(stderr)) {
      const found = /DevTools listening on (ws:\S+)/.exec(line)?.[1]
      // It goes on to print; nobody waits for that.
      if (found !== undefined) {
        stderr.resume()
        return found
      }
      lines.push(line)
    }
  throw new Error(`Chromium ended before it could be driven: ${lines.join('\n')}`)
}

interface Message {
  id?: number
  sessionId?: string
  method?: string
  params?: unknown
  result?: unknown
  error?: { message: string }
}

interface DevTools {
  ask: (method: string, params?: object, sessionId?: string) => Promise<unknown>
  onEvent: (sessionId: string, tell: (method: string, params: unknown) => void) => void
}

async function connect(address: string): Promise<DevTools> {
  const socket = new WebSocket(address)
  const waiting = new Map<number, (message: Message) => void>()
  const listeners = new Map<string, (method: string, params: unknown) => void>()
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    if (message.id !== undefined) waiting.get(message.id)?.(message)
    else if (message.method !== undefined)
      listeners.get(message.sessionId ?? '')?.(message.method, message.params)
  })
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', () => reject(new Error(`no connection to ${address}`)))
  })
  let last = 0
  return {
    ask: (method, params = {}, sessionId) =>
      new Promise((resolve, reject) => {
        last += 1
        waiting.set(last, ({ result, error }) =>
          error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result),
        )
        socket.send(JSON.stringify({ id: last, method, params, sessionId }))
      }),
    onEvent: (sessionId, tell) => void listeners.set(sessionId, tell),
  }
}

async function openPage({ ask, onEvent }: DevTools, url: string): Promise<Page> {
  const { targetId } = (await ask('Target.createTarget', { url: 'about:blank' })) as { targetId: string }
  const attached = await ask('Target.attachToTarget', { targetId, flatten: true })
  const { sessionId } = attached as { sessionId: string }
  const requests: string[] = []
  const complaints: string[] = []
  onEvent(sessionId, (method, params) => {
    if (method === 'Network.requestWillBeSent')
      requests.push((params as { request: { url: string } }).request.url)
    if (method === 'Log.entryAdded') complaints.push((params as { entry: { text: string } }).entry.text)
    if (method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(params))
  })
  for (const domain of ['Network', 'Log', 'Runtime', 'Page']) await ask(`${domain}.enable`, {}, sessionId)
  await ask('Page.navigate', { url }, sessionId)
  const evaluate = async (expression: string) => {
    const answer = await ask(
      'Runtime.evaluate',
      { expression, returnByValue: true, awaitPromise: true },
      sessionId,
    )
    const { result, exceptionDetails } = answer as {
      result: { value?: unknown; description?: string }
      exceptionDetails?: object
    }
    if (exceptionDetails) throw new Error(`${expression}: ${result.description}`)
    return result.value
  }
  return { requests, complaints, evaluate }
}
