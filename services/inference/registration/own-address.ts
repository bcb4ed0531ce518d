/**
 * Asks at the public URL of this service whether it leads here. The network, a name or a proxy may come up after the service:
 * it says once that it does not, goes on asking, and says when it does.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { coerceError } from '../../../shared/platform/errors.ts'
import { hidePasswordOf, hidePasswords } from '../../../shared/platform/hidden-passwords.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { whoAnswers } from './who-answers.ts'

export interface OwnAddress {
  /** SCISSION_PUBLIC_URL. */
  url: string
  /** Of this run of the service. */
  instance: string
  log: Logger
  /** ms until it asks again. @defaultValue 10000 */
  everyMs?: number
}

const EVERY_MS = 10_000

/** @returns resolves when the address leads here, or `signal` is aborted. Never rejects. */
export async function watchOwnAddress(own: OwnAddress, signal: AbortSignal): Promise<void> {
  let said: string | undefined
  while (!signal.aborted) {
    const problem = await problemOf(own)
    if (signal.aborted) return
    if (problem === undefined) {
      if (said !== undefined) own.log.info(`${hidePasswordOf(own.url)} leads to this service now`)
      return
    }
    if (problem !== said) own.log[said === undefined ? 'warn' : 'debug'](problem)
    said = problem
    // Cut short, by an error, when the service closes.
    await sleep(own.everyMs ?? EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined)
  }
}

async function problemOf({ url, instance }: OwnAddress): Promise<string | undefined> {
  const asked = `SCISSION_PUBLIC_URL=${hidePasswordOf(url)}`
  try {
    const found = await whoAnswers(url)
    if (found.instance === instance) return undefined
    const name = found.resource === undefined ? '' : ` "${found.resource}"`
    return (
      `${asked} leads to another service, the ${found.service} service${name}: peers and clients that look for this one ` +
      'are told to call it. Set SCISSION_PUBLIC_URL to the address and port of this one'
    )
  } catch (thrown) {
    return (
      `this service does not reach itself by ${asked}: ${hidePasswords(coerceError(thrown).message)}. Peers and clients are told to call ` +
      'that: check its host and port, SCISSION_HOST and the firewall. If only other machines can use it, all is well'
    )
  }
}
