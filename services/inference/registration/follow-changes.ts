/** Tells the parts of the service that keep something of Redis in memory what has changed there. */
import type { Redis } from 'ioredis'
import type { Logger } from '../../../shared/platform/log.ts'
import { type Change, Changes } from '../../../shared/platform/redis/changes.ts'
import { parseRevision, readRevision } from '../../../shared/platform/redis/revision.ts'
import type { RevisionGate } from '../../../shared/platform/redis/revision-gate.ts'

interface Follower {
  onChange: (change: Change) => void
  onResync?: () => void
}

/** @param gate knows of which revision the followers have heard: what they read then is at least that new. */
export function followChanges(
  redis: Redis,
  log: Logger,
  followers: readonly Follower[],
  gate: RevisionGate,
): Changes {
  const changes = new Changes(redis, log)
  const resync = () => followers.forEach((follower) => follower.onResync?.())
  changes.on('change', (change) => {
    const revision = change.revision === undefined ? undefined : parseRevision(change.revision)
    // The numbers began anew: nothing that is known here need be there still.
    if (revision && revision.epoch !== gate.revision?.epoch) resync()
    followers.forEach((follower) => follower.onChange(change))
    if (revision) gate.advance(revision)
  })
  changes.on('resync', () => {
    resync()
    // What was read meanwhile may be older than the revision.
    readRevision(redis).then(
      (revision) => {
        resync()
        gate.advance(revision)
      },
      (error: unknown) => log.debug({ err: error }, 'the revision of the shared state is not known'),
    )
  })
  changes.on('error', (error) => log.debug({ err: error }, 'the change announcements are interrupted'))
  return changes
}
