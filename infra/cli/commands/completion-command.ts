/** `scission completion bash|zsh|fish`: prints a script for the shell to source. */
import type { Command } from 'commander'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { completionScript, SHELLS } from '../completion.ts'
import type { Context } from '../context.ts'

export function defineCompletion(command: Command, context: Context): void {
  command
    .addHelpText(
      'after',
      '\nbash: source <(scission completion bash)\nzsh: source <(scission completion zsh)\nfish: scission completion fish | source',
    )
    .action(async (given: string) => {
      const shell = SHELLS.find((name) => name === given)
      if (shell === undefined)
        throw new ScissionError(
          'badRequest',
          `completion: the shell must be ${SHELLS.join(', ')}, got: ${given}; for example scission completion bash`,
        )
      const script = completionScript(await context.everyCommand(), shell)
      // Not fitted to the terminal: it is a program.
      if (command.optsWithGlobals<{ json: boolean }>().json) context.print({ shell, script }, String)
      else process.stdout.write(script)
    })
}
