/**
 * Whether a request is from another machine of the system or from a client, and what counts only from the former: hops tell
 * each other by parameters and headers which hop is called, of which plan, and where its answer goes. A client that sent them
 * could skip stages, pick a replaced plan, or take another request's slot.
 */
import type { IncomingMessage } from 'node:http'
import { CODEC } from '../../../shared/codec/index.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import { OWN_PREFIX, type Parameters } from '../../../shared/oip/parameters.ts'

/** The one place that decides it. On a service that only its own machine reaches nothing is asked: there everybody may be one. */
export function isFromMachine(req: IncomingMessage): boolean {
  const { kind } = identityOf(req)
  return kind === 'resource' || kind === 'local'
}

/** What clients may ask for: times of the hops, and encoded outputs. */
const FOR_CLIENTS: ReadonlySet<string> = new Set([`${OWN_PREFIX}timing`, CODEC])

/** The parameters of a request without those that only machines send. */
export const withoutMachines = (parameters: Parameters): Parameters =>
  Object.fromEntries(
    Object.entries(parameters).filter(([key]) => !key.startsWith(OWN_PREFIX) || FOR_CLIENTS.has(key)),
  )

/** True of a header that machines tell each other, whatever settings let travel. @param name in lower case. */
export const isMachineHeader = (name: string): boolean => name.startsWith('scission-')
