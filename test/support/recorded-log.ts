/** A log whose lines a test can read. */
import { Writable } from 'node:stream'
import pino from 'pino'
import type { Logger } from '../../shared/platform/log.ts'

export interface RecordedLog {
  log: Logger
  /** Messages of level info and above, in order. */
  lines: string[]
}

export function recordedLog(): RecordedLog {
  const lines: string[] = []
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const { msg } = JSON.parse(chunk.toString()) as { msg: string }
      lines.push(msg)
      done()
    },
  })
  return { log: pino({ level: 'info' }, sink), lines }
}
