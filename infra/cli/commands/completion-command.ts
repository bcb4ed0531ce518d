/** `scission completion`. */
import type { Command } from 'commander'
import type { Context } from '../context.ts'
export function defineCompletion(command: Command, context: Context): void {
  command.action(() => context.print({}, () => ''))
}
