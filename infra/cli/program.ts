/** The command line itself: global options, the list of commands, and help that fits the terminal. */
import { type Argument, Command, type Help, Option } from 'commander'
import { VERSION } from '../../shared/platform/version.ts'
import { COMMANDS, type CommandEntry } from './commands.ts'
import { type GlobalOptions, portBase } from './global-options.ts'

const NOTES = `
Without --benchmark-url and --planner-url the system that runs here is found by itself (npm start writes where it is); if several run, --port-base says which.

Exit codes: 0 success, 1 something failed, 2 wrong usage or request, 3 unknown name, 4 no plan satisfies, 5 a service cannot be reached`

/** @returns a program whose commands load what they need when they are called. */
export function createProgram(): Command {
  const program = new Command('scission')
    .description('Splits a trained neural network over a device, an edge node and a cloud.')
    .version(VERSION)
    .option('--json', 'print JSON for programs', false)
    .addOption(portBaseOption())
    .addOption(urlOption('--benchmark-url <url>', 'the benchmark service', 'SCISSION_BENCHMARK_URL'))
    .addOption(urlOption('--planner-url <url>', 'the planner service', 'SCISSION_PLANNER_URL'))
    .addHelpText('after', ({ command }) => wrapNotes(command))
    .configureHelp({ minWidthToWrap: 20, formatItem, subcommandTerm })
    // What is wrong is printed by main.ts, as text or JSON: also help, where a command is missing.
    .configureOutput({ outputError: () => undefined, writeErr: () => undefined })
    .exitOverride()
  const byName = new Map<string, CommandEntry>()
  for (const entry of COMMANDS) {
    const command = program.command(entry.usage).description(entry.text)
    byName.set(command.name(), entry)
  }
  program.hook('preSubcommand', (_, command) => defineCommand(program, command, byName.get(command.name())))
  return program
}

/** Adds to a command what its help leaves out. */
async function defineCommand(
  program: Command,
  command: Command,
  entry: CommandEntry | undefined,
): Promise<void> {
  if (entry === undefined) return
  const [define, { createContext }] = await Promise.all([entry.load(), import('./context.ts')])
  define(command, createContext(program, everyCommand))
}

/** A program with all of every command: for those who look at every option (completion). */
async function everyCommand(): Promise<Command> {
  const program = createProgram()
  for (const [index, entry] of COMMANDS.entries())
    await defineCommand(program, program.commands[index] as Command, entry)
  return program
}

/** Also for errors before the options are parsed. */
export function wantsJson(argv: readonly string[], { json }: GlobalOptions): boolean {
  const end = argv.indexOf('--')
  return json || argv.slice(0, end === -1 ? undefined : end).includes('--json')
}

/** Not with commander's own reading of the environment, which would print a URL of it, password and all, in the help. */
const urlOption = (flags: string, text: string, variable: string) =>
  new Option(flags, `${text}, also ${variable}`)

const portBaseOption = () =>
  new Option(
    '--port-base <n>',
    'the system that was started with it, also SCISSION_PORT_BASE (default: the one that runs)',
  ).argParser(portBase)

function wrapNotes(command: Command): string {
  const helper = command.createHelp()
  return helper.boxWrap(NOTES, helpWidth(command))
}

const helpWidth = (command: Command) => command.configureOutput().getOutHelpWidth?.() ?? 80

function subcommandTerm(command: Command): string {
  const given = command.registeredArguments.map((argument) => argumentTerm(argument)).join(' ')
  return given === '' ? command.name() : `${command.name()} ${given}`
}

function argumentTerm(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${name}>` : `[${name}]`
}

/** Less room than this for descriptions beside their terms, and they go below. */
const MIN_BESIDE = 24
const INDENT = 2

/** Terms and descriptions in two columns or, on a narrow terminal, one below the other. */
function formatItem(this: Help, term: string, termWidth: number, description: string, helper: Help): string {
  const indent = ' '.repeat(INDENT)
  if (!description) return indent + term
  const width = helper.helpWidth ?? 80
  const beside = width - INDENT - termWidth - INDENT
  if (beside < MIN_BESIDE) {
    const below = helper.boxWrap(description, Math.max(width - 3 * INDENT, MIN_BESIDE))
    return `${indent}${term}\n${below.replaceAll(/^/gm, indent.repeat(3))}`
  }
  const text = helper.boxWrap(description, beside)
  const padded = term.padEnd(termWidth + term.length - helper.displayWidth(term))
  const further = `\n${' '.repeat(INDENT + termWidth + INDENT)}`
  return `${indent}${padded}${indent}${text.replaceAll('\n', further)}`
}
