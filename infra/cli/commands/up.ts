/** `scission up`: what `npm start` does, with the same options. */
import type { Command } from 'commander'
import type { GlobalOptions } from '../global-options.ts'

export function defineUp(command: Command): void {
  command
    .allowUnknownOption()
    .helpOption(false)
    .action(async (args: string[]) => {
      // Loaded only for this command, because it is half of the program.
      const { start } = await import('../../start/main.ts')
      // An option of `scission` itself too, which has taken it.
      const { portBase } = command.optsWithGlobals<GlobalOptions>()
      await start(portBase === undefined ? args : [...args, '--port-base', String(portBase)])
    })
}
