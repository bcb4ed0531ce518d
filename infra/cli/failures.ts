/** Errors of commands, as people and programs get them: on standard error, so that standard output holds only results. */
import type { CommanderError } from 'commander'
import { ScissionError } from '../../shared/platform/errors.ts'
import { complain } from '../terminal/say.ts'
import { describeFailure, exitCodeOf } from './exit-codes.ts'

/** A command line that cannot be parsed. */
export function usageError({ message }: CommanderError): ScissionError {
  return new ScissionError('badRequest', message.replace(/^error: /, ''))
}

/** Prints it. @returns the exit code. */
export function printFailure(thrown: unknown, json: boolean): number {
  const text = describeFailure(thrown, json)
  if (json) console.error(text)
  else complain(text)
  return exitCodeOf(thrown)
}
