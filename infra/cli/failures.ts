/** Errors of commands, as people and programs get them: on standard error, so that standard output holds only results. */
import type { CommanderError } from 'commander'
import { ScissionError } from '../../shared/platform/errors.ts'
import { complain } from '../terminal/say.ts'
import { describeFailure, exitCodeOf } from './exit-codes.ts'

/**
 * A command line that cannot be parsed.
 * @param args what the command line names, without options: commander says nothing of a command that is missing or, behind
 * `help`, unknown.
 */
export function usageError({ code, message }: CommanderError, args: readonly string[]): ScissionError {
  if (code !== 'commander.help') return new ScissionError('badRequest', message.replace(/^error: /, ''))
  const name = args.at(-1)
  const what =
    name === undefined ? 'give a command, for example scission status' : `unknown command '${name}'`
  return new ScissionError('badRequest', `${what}; scission --help lists them`)
}

/** Prints it. @returns the exit code. */
export function printFailure(thrown: unknown, json: boolean): number {
  const text = describeFailure(thrown, json)
  if (json) console.error(text)
  else complain(text)
  return exitCodeOf(thrown)
}
