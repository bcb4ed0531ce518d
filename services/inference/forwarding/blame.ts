/**
 * What a failed call of a peer says, and about whom. A peer that answered lives, whatever it answered: a request that its
 * runtime refuses, or a machine behind it that is lost, must not take it from other deployments.
 */
import { type ErrorCode, ScissionError } from '../../../shared/platform/errors.ts'

/**
 * `nobody`: the client left, or it is a fault of ours. `request`: it holds what any machine refuses. `refusal`: the peer lives
 * and does not take this request now. `route`: the peer lives, but failed at this deployment, or a hop behind it did.
 * `silence`: no answer in time. `peer`: it cannot be reached, or what answers is not a working inference service.
 */
export type Blame = 'nobody' | 'request' | 'refusal' | 'route' | 'silence' | 'peer'

/** Codes of hops whose cause is in the client's tensors: every machine would answer the same. */
const OF_THE_REQUEST: ReadonlySet<string | undefined> = new Set<ErrorCode>(['invalidValues', 'invalidTensor'])

/** True if the code says that the client's tensors are at fault: to compute them elsewhere is pointless. */
export const isOfTheRequest = (code: string | undefined): boolean => OF_THE_REQUEST.has(code)

/** What an error of `forward`, `askPeer` or `askToLoad` says. */
export function blameOf(error: unknown): Blame {
  if (!(error instanceof ScissionError) || error.code === 'cancelled') return 'nobody'
  const status = error.details?.['status']
  if (typeof status !== 'number') return withoutAnswer(error)
  if (isOfTheRequest(error.code)) return 'request'
  // Another machine at its address, or one that knows another plan: whoever doubts it finds out (wrong-machines.ts).
  if (error.details?.['answeredCode'] === ('misdirected' satisfies ErrorCode)) return 'route'
  if (status === 503 || status < 500) return 'refusal'
  // Without a code of ours it was not the peer that answered, but for instance a proxy before a peer that is gone.
  return error.details?.['answeredCode'] === undefined ? 'peer' : 'route'
}

function withoutAnswer({ code }: ScissionError): Blame {
  if (code === 'deadlineExceeded') return 'silence'
  // Its answer is longer than may be received here. That depends on the request.
  return code === 'payloadTooLarge' ? 'route' : 'peer'
}
