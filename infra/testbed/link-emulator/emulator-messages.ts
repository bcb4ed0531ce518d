/** IPC messages between the parent and the emulator process. Each request has a number, which its answer repeats. */
import { z } from 'zod'
import { ERROR_STATUS, type ErrorCode } from '../../../shared/platform/errors.ts'
import { CutKind, LinkSettings, LinkStatistics } from './settings.ts'

export const Command = z.discriminatedUnion('do', [
  z.object({ do: z.literal('set'), link: z.string(), changes: LinkSettings.partial() }),
  z.object({ do: z.literal('cut'), link: z.string(), kind: CutKind }),
  z.object({ do: z.literal('restore'), link: z.string() }),
  z.object({ do: z.literal('stats') }),
])
export type Command = z.infer<typeof Command>

export const Request = z.object({ request: z.number(), command: Command })
export type Request = z.infer<typeof Request>

export const Statistics = z.record(z.string(), LinkStatistics)
export type Statistics = z.infer<typeof Statistics>

const isErrorCode = (text: string): text is ErrorCode => text in ERROR_STATUS

export const Answer = z.object({
  answer: z.number(),
  /** The answer to `stats`. */
  statistics: Statistics.optional(),
  error: z.object({ code: z.string().refine(isErrorCode), message: z.string() }).optional(),
})
export type Answer = z.infer<typeof Answer>
