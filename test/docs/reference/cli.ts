/** docs/reference/cli.md: the help that every command of `scission` prints itself. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { SCISSION } from '../../support/command.ts'
import { page } from './markdown.ts'

const INTRODUCTION = `\`npx scission COMMAND\` is the three services from a shell. It prints tables, or with \`--json\` (before or behind the command) the
JSON that the services answered, or with \`--csv\` (behind it) the table as CSV. Each command is one or a few calls of the
[API](api.md). [Use the command line](../guides/command-line.md) says how the system is found and what the output is;
[Errors](errors.md) lists the exit codes.

\`\`\`sh
npx scission zoo list
npx scission --json resources | head -c 300; echo
\`\`\``

/** @returns with the help of every command, subcommands included, as this build prints it. */
export async function cliPage(): Promise<string> {
  const commands = await commandsBelow([])
  const parts = commands.flatMap(({ words, help }) => [
    `## scission${words.map((word) => ` ${word}`).join('')}`,
    `\`\`\`text\n${help.trimEnd()}\n\`\`\``,
  ])
  return page('Command line', INTRODUCTION, ...parts)
}

interface CommandHelp {
  words: string[]
  help: string
}

/** The command itself, then all below it, in the order in which its help names them. */
async function commandsBelow(words: string[]): Promise<CommandHelp[]> {
  const help = await helpOf(words)
  const [, list = ''] = /^Commands:\n((?: .*\n?)*)/m.exec(help) ?? []
  const names = [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)].map((match) => match[1]!)
  const below: CommandHelp[] = []
  for (const name of names) if (name !== 'help') below.push(...(await commandsBelow([...words, name])))
  return [{ words, help }, ...below]
}

async function helpOf(words: readonly string[]): Promise<string> {
  const { PATH, HOME } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, [SCISSION, ...words, '--help'], {
    // Defaults that the help prints come from the environment.
    env: { PATH, HOME, NO_COLOR: '1' },
  })
  return stdout
}
