/** `scission up`: what `npm start` does, with the same options. */
import type { Command } from 'commander'

export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description(
      'bring the whole system up on this machine and show it at work: the same as npm start, with its options',
    )
    .allowUnknownOption()
    .helpOption(false)
    .argument('[options...]', 'scission up --help lists them')
    .action(async (args: string[]) => {
      // Loaded only for this command, because it is half of the program.
      const { start } = await import('../../start/main.ts')
      await start(args)
    })
}
