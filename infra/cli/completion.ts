/** Scripts that complete commands, options and their choices in a shell. They hold all of it: nothing is started at a Tab. */
import type { Command, Option } from 'commander'
import { NETWORK_NAMES } from '../../shared/contracts/network-presets.ts'
import { listZoo } from '../../shared/zoo/index.ts'
import { START_OPTIONS } from '../start/options.ts'
import { SERVICE_NAMES } from './commands/config.ts'
import { PLAN_CHOICES } from './commands/plan-options.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** What the argument of a command can be, where that is known without asking a service. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  completion: SHELLS,
  config: SERVICE_NAMES,
  'zoo build': listZoo().map(({ name }) => name),
}

/** A command, and what may follow it. */
interface Completed {
  /** `models add`; empty = `scission` itself. */
  path: string
  text: string
  subcommands: { name: string; text: string }[]
  options: { flag: string; text: string; takesValue: boolean; choices: readonly string[] }[]
}

/** @param program with all of its commands loaded. */
export function completionScript(program: Command, shell: Shell): string {
  const commands = completedBelow(program, [])
  if (shell === 'fish') return fishScript(commands)
  // zsh runs bash's script by its own emulation of that way of completing.
  const bash = bashScript(commands)
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`
}

function completedBelow(command: Command, words: readonly string[]): Completed[] {
  const help = command.createHelp()
  const path = words.join(' ')
  const named = command.commands.map((one) => ({ name: one.name(), text: one.description() }))
  const subcommands = [...named, ...(ARGUMENTS[path] ?? []).map((name) => ({ name, text: '' }))]
  const mine: Completed = {
    path,
    text: command.description(),
    subcommands,
    // `up` hands all of its options on.
    options:
      path === 'up' ? START_OPTIONS.map(startOption) : help.visibleOptions(command).flatMap(completedOption),
  }
  return [mine, ...command.commands.flatMap((one) => completedBelow(one, [...words, one.name()]))]
}

function completedOption({ long, description, required, optional, argChoices }: Option) {
  if (!long) return []
  const choices = argChoices ?? PLAN_CHOICES.get(long) ?? []
  return [{ flag: long, text: description, takesValue: required || optional, choices }]
}

const startOption = ({ flag, takesValue }: (typeof START_OPTIONS)[number]) => ({
  flag,
  text: '',
  takesValue,
  choices: flag === '--network' ? NETWORK_NAMES : [],
})

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** Flags whose next word is no command. */
const flagsWithValue = (commands: readonly Completed[]): string[] => [
  ...new Set(
    commands.flatMap(({ options }) => options.filter((one) => one.takesValue).map((one) => one.flag)),
  ),
]

/**
 * The words before the cursor name the command: those that are neither options nor their values. What follows is looked up
 * by it. Files are completed where nothing else is.
 */
function bashScript(commands: readonly Completed[]): string {
  const [root] = commands
  const withValue = flagsWithValue(commands)
  const cases = commands.map(({ path, subcommands, options }) => {
    const flags = [...new Set([...options, ...(root?.options ?? [])].map(({ flag }) => flag))]
    return `    ${quoted(path)}) subcommands=${quoted(subcommands.map(({ name }) => name).join(' '))}; options=${quoted(flags.join(' '))} ;;`
  })
  const choices = commands.flatMap(({ path, options }) =>
    options
      .filter((option) => option.choices.length > 0)
      .map(
        ({ flag, choices: all }) =>
          `    ${quoted(`${path} ${flag}`)}) COMPREPLY=($(compgen -W ${quoted(all.join(' '))} -- "$current")); return ;;`,
      ),
  )
  return `# Made by \`scission completion\`.
_scission() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path='' word next at subcommands='' options=''
  for ((at = 1; at < COMP_CWORD; at++)); do
    word="\${COMP_WORDS[at]}"
    case "$word" in
      ${withValue.join('|')}) ((at++)); continue ;;
      -*) continue ;;
    esac
    next="\${path:+$path }$word"
    case "$next" in
${commands
  .slice(1)
  .map(({ path }) => `      ${quoted(path)}) path="$next" ;;`)
  .join('\n')}
    esac
  done
  case "$path $previous" in
${choices.join('\n')}
  esac
  case "$path" in
${cases.join('\n')}
  esac
  case "$previous" in
    ${withValue.join('|')}) compopt -o default 2>/dev/null; return ;;
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ -n "$subcommands" ]]; then
    COMPREPLY=($(compgen -W "$subcommands" -- "$current"))
  else
    compopt -o default 2>/dev/null
  fi
}
complete -F _scission scission
`
}

/** Like bash's; options of `scission` itself are offered everywhere. */
function fishScript(commands: readonly Completed[]): string {
  const everywhere = new Set(commands[0]?.options.map(({ flag }) => flag))
  const lines = commands.flatMap(({ path, subcommands, options }) => {
    const isRoot = path === ''
    const here = `-n ${quoted(`__scission_at ${quoted(path)}`)}`
    return [
      ...subcommands.map(({ name, text }) => `complete -c scission ${here} -f -a ${name} -d ${quoted(text)}`),
      ...options
        .filter(({ flag }) => isRoot || !everywhere.has(flag))
        .map((option) => `complete -c scission ${isRoot ? '' : `${here} `}${fishOption(option)}`),
    ]
  })
  const paths = commands.slice(1).map(({ path }) => quoted(path))
  return `# Made by \`scission completion\`.
function __scission_at
  set -l words (commandline -opc)
  set -l path ''
  set -l is_value 0
  for word in $words[2..-1]
    if test $is_value = 1
      set is_value 0
      continue
    end
    switch $word
      case ${flagsWithValue(commands).join(' ')}
        set is_value 1
      case '-*'
      case '*'
        set -l next (string trim -- "$path $word")
        contains -- $next ${paths.join(' ')}; and set path $next
    end
  end
  test "$path" = "$argv[1]"
end
${lines.join('\n')}
`
}

function fishOption({ flag, text, takesValue, choices }: Completed['options'][number]): string {
  const values = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : takesValue ? ' -r' : ''
  return `-l ${flag.slice(2)}${values} -d ${quoted(text)}`
}
