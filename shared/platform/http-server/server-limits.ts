/** What clients may take of a server, where no setting says otherwise. */
import { memoryBytes } from '../usable-memory.ts'
import type { MaxConnections } from './connection-limits.ts'
import type { TransferLimits } from './transfer-watch.ts'

export type ServerLimits = MaxConnections & TransferLimits

export const DEFAULT_LIMITS: ServerLimits = {
  maxConnections: 4096,
  maxClientConnections: 1024,
  transferWindowMs: 30_000,
  minBytesPerSecond: 512,
  bodyDeadlineMs: 4 * 3_600_000,
  answerMemoryBytes: Math.floor(memoryBytes() / 4),
}
