/**
 * Makes, lists and revokes keys. The token of a new one is answered once and not stored; its record is signed with the system
 * key. Of one name there may be several keys, so that a token is replaced without a gap: a new one is made, given to its
 * owner, and then the old one is revoked. If it is said to replace the old one, both count as one for quotas. Revoked keys stay on record for a while: who did what is found in a log by the id.
 */
import {
  type KeyRecord,
  type KeyRequest,
  type KeyView,
  type NewKey,
  quotasFault,
} from '../../../shared/contracts/key.ts'
import type { Quotas } from '../../../shared/contracts/quota.ts'
import {
  formatToken,
  hashOf,
  newToken,
  publicBytesOf,
  signingKeyOf,
} from '../../../shared/platform/access/token.ts'
import type { SystemAccess } from '../../../shared/platform/access/system-access.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

/** Every service looks keys up one by one, but lists and backups hold them all. */
const MAX_KEYS = 10_000
const KEPT_REVOKED_MS = 30 * 24 * 3600 * 1000

export class Keys {
  readonly #state: State
  readonly #access: Pick<SystemAccess, 'systemKey'>

  constructor(state: State, access: Pick<SystemAccess, 'systemKey'>) {
    this.#state = state
    this.#access = access
  }

  /**
   * @param by who asks, for the record.
   * @throws ScissionError conflict without a private system key, badRequest for an expiry in the past, or if it replaces a key of
   * somebody else; notFound if that is not there; tooManyRequests.
   */
  async add(request: KeyRequest, by: string): Promise<NewKey> {
    this.#refuseWithoutKey()
    const now = await this.#state.clock.read()
    const { expiresAt } = request
    if (expiresAt !== undefined && Date.parse(expiresAt) <= now)
      throw new ScissionError(
        'badRequest',
        `expiresAt: ${expiresAt} has passed; by the clock of Redis it is ${iso(now)}`,
      )
    await this.#forgetOld(now)
    const { replaces, ...asked } = request
    const before = replaces === undefined ? {} : await this.#takenOver(replaces, request)
    const token = newToken()
    const record: KeyRecord = {
      ...before,
      ...asked,
      id: token.id,
      hash: hashOf(token.secret),
      publicKey: publicBytesOf(signingKeyOf(token.secret)).toString('base64url'),
      createdAt: iso(now),
      createdBy: by,
    }
    await this.#state.keys.put(token.id, record)
    return { ...viewOf(record), token: formatToken(token) }
  }

  /** Revoked ones too. */
  async all(): Promise<KeyView[]> {
    return (await this.#state.keys.all()).map(viewOf)
  }

  /** What a key gets of the one that it replaces. */
  async #takenOver(id: string, { kind, name }: KeyRequest): Promise<Pick<KeyRecord, 'quotas' | 'account'>> {
    const before = await this.#state.keys.need(id)
    if (kind === 'resource' || before.kind !== kind || before.name !== name)
      throw new ScissionError(
        'badRequest',
        `replaces: ${id} is ${before.kind} ${before.name}; a key takes over what one of the same operator or client has`,
      )
    return { ...(before.quotas && { quotas: before.quotas }), account: before.account ?? id }
  }

  /** @throws ScissionError notFound. */
  async one(id: string): Promise<KeyView> {
    return viewOf(await this.#state.keys.need(id))
  }

  /**
   * Gives a key other quotas, all of them: one that is left out is that of the settings from now on.
   * @returns the key as it is now. @throws ScissionError notFound, conflict, badRequest if its kind has no such quota.
   */
  async setQuotas(id: string, quotas: Quotas): Promise<KeyView> {
    this.#refuseWithoutKey()
    refuseDerived(id)
    const changed = await this.#state.keys.update(id, (current) => {
      const fault = current && quotasFault(current.kind, quotas)
      if (fault !== undefined) throw new ScissionError('badRequest', `quotas: ${fault}`)
      return current && { ...current, quotas }
    })
    if (changed) return viewOf(changed)
    return this.one(id)
  }

  /** @returns the key as it is now. @throws ScissionError notFound, conflict. */
  async revoke(id: string): Promise<KeyView> {
    this.#refuseWithoutKey()
    refuseDerived(id)
    const now = iso(await this.#state.clock.read())
    const revoked = await this.#state.keys.update(id, (current) =>
      current?.revokedAt === undefined ? current && { ...current, revokedAt: now } : current,
    )
    if (revoked) return viewOf(revoked)
    await this.#state.keys.need(id)
    throw new ScissionError('notFound', `unknown key "${id}"`)
  }

  /** @throws ScissionError tooManyRequests if there are too many all the same. */
  async #forgetOld(now: number): Promise<void> {
    const all = await this.#state.keys.all()
    for (const { id, revokedAt } of all)
      if (revokedAt !== undefined && Date.parse(revokedAt) < now - KEPT_REVOKED_MS)
        await this.#state.keys.delete(id)
    if (all.length < MAX_KEYS) return
    throw new ScissionError('tooManyRequests', `there are ${all.length} keys: revoke those that nobody uses`)
  }

  #refuseWithoutKey(): void {
    const key = this.#access.systemKey
    if (key?.isPrivate) return
    throw new ScissionError(
      'conflict',
      key
        ? 'this planner has only the public system key: keys are made by one that has the private one'
        : 'this system has no key, and asks nobody for a token: start its services with SCISSION_SYSTEM_KEY_FILE (scission keys init)',
    )
  }
}

/** @throws ScissionError conflict. */
function refuseDerived(id: string): void {
  if (!/^(operator|resource)-/.test(id)) return
  throw new ScissionError(
    'conflict',
    `${id} follows from the system key: it ends when the services are given another one, and has no quotas`,
  )
}

const iso = (epochMs: number): string => new Date(epochMs).toISOString()

function viewOf({ hash: _hash, publicKey: _publicKey, ...view }: KeyRecord): KeyView {
  return view
}
