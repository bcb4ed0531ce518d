/**
 * Answers on their way straight from the last hop to the entry, past the hops between (`answer: direct`).
 *
 *   entry ──request, slot──▶ middle ──request, slot──▶ last
 *     ▲                        ▲                         │ 1. the outputs, to the slot
 *     └────────────────────────┼─────────────────────────┘
 *     ◀──────"delivered"───────┴──────"delivered"──────── 2. when the entry has taken them
 *
 * The entry opens a slot under a name that cannot be guessed; the last hop finds the entry in the deployment's record, so
 * no request says where an answer goes. The chain stays: for errors, for cancelling, and for the outputs themselves where
 * the entry cannot be reached. What comes first is the answer.
 */
import { randomBytes } from 'node:crypto'
import { OWN_PREFIX } from '../../../shared/oip/parameters.ts'
import type { InferResponse } from '../../../shared/oip/response-message.ts'
import { hopParameters } from '../serving/models/hop-report.ts'
import type { HopReport, InferContext } from '../serving/models/target.ts'

/** Names the slot at the entry; its presence tells a hop that the entry waits for the last one. */
export const SLOT = `${OWN_PREFIX}slot`

const NAME_BYTES = 16

export interface ReturnSlot {
  name: string
  /** Never rejects. */
  delivered: Promise<InferResponse>
  /** Aborted once an answer is here. */
  arrived: AbortSignal
  /** Nobody waits any more. */
  close: () => void
}

/** Names remembered by a last hop; a request that is sent again comes within its hop's patience. */
const REMEMBERED = 4096

/** What a last hop has delivered: a request that is sent again, its first answer lost, is not computed again. */
export class Delivered {
  readonly #names = new Set<string>()

  add(name: string): void {
    this.#names.add(name)
    const [oldest] = this.#names
    if (this.#names.size > REMEMBERED && oldest !== undefined) this.#names.delete(oldest)
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }
}

export class ReturnSlots {
  readonly #open = new Map<string, (response: InferResponse) => void>()

  open(): ReturnSlot {
    const name = randomBytes(NAME_BYTES).toString('hex')
    const arrived = new AbortController()
    const close = () => this.#open.delete(name)
    const delivered = new Promise<InferResponse>((resolve) =>
      this.#open.set(name, (response) => {
        close()
        arrived.abort()
        resolve(response)
      }),
    )
    return { name, delivered, arrived: arrived.signal, close }
  }

  /** Somebody waits for it. */
  isOpen(name: string): boolean {
    return this.#open.has(name)
  }

  /** @returns false when nobody waits for it: never opened, delivered already, or given up. */
  deliver(name: string, response: InferResponse): boolean {
    const take = this.#open.get(name)
    take?.(response)
    return take !== undefined
  }
}

/** Where the answer may go past the chain, the reports of the hops so far go along with the request. */
export function withReport(context: InferContext, report: HopReport): InferContext {
  if (context.parameters[SLOT] === undefined) return context
  return { ...context, parameters: { ...context.parameters, ...hopParameters([report]) } }
}
