/**
 * The revisions of the shared state in requests and answers: a client that was told of one by one service is never answered
 * by another from an older state.
 */
import type { IncomingMessage } from 'node:http'
import { waitAtMost } from '../deadline.ts'
import { coerceError } from '../errors.ts'
import type { Logger } from '../log.ts'
import {
  AT_LEAST_HEADER,
  type AskedRevision,
  formatRevision,
  parseAsked,
  type Revision,
} from '../redis/revision.ts'
import type { Route } from './route.ts'

/** Longest wait for Redis only to tell a revision. */
const PATIENCE_MS = 1000

export interface Revisions {
  /**
   * Resolves once this service answers with a state at least that new. @throws ScissionError deadlineExceeded,
   * queueUnavailable.
   */
  reach: (asked: AskedRevision) => Promise<void>
  /** Resolves once this service answers with what it has written itself. @throws ScissionError queueUnavailable. */
  settle: () => Promise<void>
  /** The newest revision there is. */
  newest: () => Promise<Revision | undefined>
  /** That of the copy from which `fromCopy` routes answer. */
  ofCopy: () => Revision | undefined
}

/** Of a service that reads Redis for each answer, and so never answers from an older state. */
export const withoutCopy = (newest: Revisions['newest']): Revisions => ({
  reach: async () => {},
  settle: async () => {},
  newest,
  ofCopy: () => undefined,
})

/** The routes to which the headers belong: those of the services, not of the protocol, that read the shared state. */
export const tellsRevision = ({ alone, path }: Pick<Route, 'alone' | 'path'>): boolean =>
  !alone && path.startsWith('/v1/')

/**
 * Waits as the request asks; undefined if it asks for nothing, as almost all do.
 * @throws ScissionError badRequest, deadlineExceeded, queueUnavailable, by the promise.
 */
export function waitAsAsked(
  revisions: Revisions | undefined,
  { headers }: IncomingMessage,
): Promise<void> | undefined {
  const asked = headers[AT_LEAST_HEADER_LOWER]
  if (asked === undefined) return undefined
  return (async () => {
    const revision = parseAsked(String(asked))
    await revisions?.reach(revision)
  })()
}

const AT_LEAST_HEADER_LOWER = AT_LEAST_HEADER.toLowerCase()

/**
 * The revision for the header of an answer; undefined if there is none, or if Redis cannot be asked for it. Waits until this
 * service knows what the request has changed.
 */
export async function revisionOf(
  revisions: Revisions,
  route: Route,
  log: Logger,
): Promise<string | undefined> {
  if (!tellsRevision(route)) return undefined
  if (route.fromCopy) return text(revisions.ofCopy())
  await revisions.settle()
  try {
    return text(await waitAtMost(revisions.newest(), PATIENCE_MS, undefined))
  } catch (thrown) {
    log.debug({ err: coerceError(thrown) }, 'an answer names no revision: Redis cannot be asked')
    return undefined
  }
}

const text = (revision: Revision | undefined) => (revision ? formatRevision(revision) : undefined)
