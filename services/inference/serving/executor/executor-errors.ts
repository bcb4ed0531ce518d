/** Why a run, or the loading of a stage, was not done: what is said to whoever asked for it. */
import type { GivenUp } from '../../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'

/** The error of a caller that gave up waiting for `what`. */
export const givenUp = (what: string, why: GivenUp): ScissionError =>
  why === 'aborted'
    ? new ScissionError('cancelled', `${what}: the caller is gone`)
    : new ScissionError('deadlineExceeded', `${what}: not done before its deadline`)

/** The error of whoever comes too late. */
export const stopping = () => new ScissionError('notReady', 'the executor is stopping')

/**
 * A queue is full, and nobody has more in it than this client.
 * @param where what they wait for: "this stage". @param late the run that they wait behind, if it was given up.
 */
export function full(waiting: number, limit: number, where: string, late?: LateRun): ScissionError {
  const heldUpMs = late && heldUpOf(late)
  const why = heldUpMs === undefined ? 'retry later' : `${holdsUp(heldUpMs)}; ${remedyOf(late)}`
  return new ScissionError(
    'overloaded',
    `${waiting} requests wait for ${where} already, the limit is ${limit}: ${why}`,
    { waiting, limit, ...(heldUpMs !== undefined && { heldUpMs }) },
  )
}

/** A queue is full, and another client needs a place of the one that has most of them. */
export const displaced = (limit: number, where: string): ScissionError =>
  new ScissionError(
    'tooManyRequests',
    `of the ${limit} requests that may wait for ${where} most are of this client, and another one needs the place; send it again ` +
      'when some of them are done',
    { limit },
  )

/** A run that was given up and goes on, as those hear of it that wait behind it. */
export interface LateRun {
  /** `performance.now()` since when nobody waits for it. */
  since: number
  /** ms after which another thread takes the place of its own; undefined if none does. */
  replacedAfterMs: number | undefined
  /** Nothing has taken its place in time: it may hold up its thread for ever. */
  isStuck: boolean
}

/** The error of a caller whose deadline passed while it waited behind such a run. */
export function lateBehind(what: string, late: LateRun): ScissionError {
  const heldUpMs = heldUpOf(late)
  return new ScissionError(
    'deadlineExceeded',
    `${what}: not begun before its deadline: ${holdsUp(heldUpMs)}; ${remedyOf(late)}`,
    { heldUpMs },
  )
}

/** The error of whoever would wait for a thread that is not replaced. */
export function behindStuck(what: string, late: LateRun): ScissionError {
  const heldUpMs = heldUpOf(late)
  return new ScissionError('overloaded', `${what}: not begun: ${holdsUp(heldUpMs)}; ${remedyOf(late)}`, {
    heldUpMs,
  })
}

/** The error of a command that was at a thread when another one took its place. */
export const behindReplaced = (what: string, overrunMs: number): ScissionError =>
  new ScissionError(
    'overloaded',
    `${what}: not begun: another request’s run, which nobody waits for any more, held up its executor thread for ${overrunMs} ms; ` +
      'a new thread takes its place: send the request again',
    { heldUpMs: overrunMs },
  )

const heldUpOf = ({ since }: LateRun) => Math.round(performance.now() - since)

const holdsUp = (ms: number) =>
  `another request’s run, which nobody waits for any more, has held up its executor thread for ${ms} ms and cannot be stopped`

const remedyOf = (late: LateRun | undefined) =>
  late?.replacedAfterMs === undefined
    ? 'too many threads were given up to such runs for another to take its place: retry later, and if this stays so, restart ' +
      'this service (with SCISSION_EXECUTORS above 1 others have a thread)'
    : `another thread takes its place ${late.replacedAfterMs} ms after that run was given up: send the request again then`
