/** The context of every command: clients of the services, and how to print. */
import type { Command } from 'commander'
import type { BenchmarkClient } from '../../shared/client/benchmark.ts'
import type { Credentials } from '../../shared/platform/credentials.ts'
import { KnownRevision } from '../../shared/client/known-revision.ts'
import type { PlannerClient } from '../../shared/client/planner.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { csvText } from '../terminal/csv.ts'
import { printable, printableJson } from '../terminal/printable.ts'
import { complain, say } from '../terminal/say.ts'
import { type Table, tableText } from '../terminal/table.ts'
import { findServices, type Services } from './find-services.ts'
import type { GlobalOptions } from './global-options.ts'
import { ownCredentials } from './own-credentials.ts'

export interface Context {
  readonly benchmark: BenchmarkClient
  readonly planner: PlannerClient
  /** For clients of inference services. */
  readonly known: KnownRevision
  /** The system that the command line, the environment or a running system names. */
  readonly services: Services
  /** Shown to the services. */
  readonly credentials: Credentials
  /** The whole program, with all options of all commands. */
  everyCommand: () => Promise<Command>
  /** Prints `value` as JSON with --json, otherwise the text made of it: then it holds nothing that controls a terminal. */
  print: <T>(value: T, text: (value: T) => string) => void
  /**
   * The same for commands with the option --csv, which print a table.
   * @param text of all that is printed, if the table is not all.
   */
  printTable: <T>(value: T, table: (value: T) => Table, text?: (value: T, table: Table) => string) => void
}

/**
 * @param program its options are known as soon as the command line is parsed, so when a command runs.
 * @param everyCommand makes a program with all of every command.
 */
export function createContext(program: Command, everyCommand: () => Promise<Command>): Context {
  const options = () => program.opts<GlobalOptions>()
  // What another command, or anybody, has had acknowledged before this one holds for it.
  const known = new KnownRevision('latest', sayOutdated)
  let services: Services | undefined
  const found = () => (services ??= findServices(options(), process.env))
  let shown: Credentials | undefined
  const credentials = () => (shown ??= ownCredentials(process.env, found().system?.dataDir))
  let isCsv = false
  let clients: Clients | undefined
  program.hook('preAction', async (_, command) => {
    clients = await loadClients()
    isCsv = command.opts<{ csv?: boolean }>().csv === true
    if (isCsv && options().json)
      throw new ScissionError('badRequest', '--json and --csv: one of the two, for example --csv')
  })
  const print: Context['print'] = (value, text) => {
    if (options().json) console.log(printableJson(value))
    else say(text(printable(value)))
  }
  return {
    everyCommand,
    get benchmark() {
      return loaded(clients).createBenchmarkClient(found().benchmark, known, credentials())
    },
    get planner() {
      return loaded(clients).createPlannerClient(found().planner, known, credentials())
    },
    get services() {
      return found()
    },
    get credentials() {
      return credentials()
    },
    known,
    print,
    printTable: (value, table, text = (_, made) => tableText(made)) => {
      // A line ends as all others do: a reader that goes by CRLF would take the last line feed for a part of the last cell.
      if (isCsv) process.stdout.write(`${csvText(table(printable(value)))}\r\n`)
      else print(value, (shown) => text(shown, table(shown)))
    },
  }
}

let isOutdatedSaid = false

/** Once, however many questions a command asks. */
function sayOutdated(why: string): void {
  if (!isOutdatedSaid) complain(`this is what the service knew before: ${why}`)
  isOutdatedSaid = true
}

/** Loading them takes as long as all else: it is done when a command runs, not when its help is printed. */
async function loadClients() {
  const [{ createBenchmarkClient }, { createPlannerClient }] = await Promise.all([
    import('../../shared/client/benchmark.ts'),
    import('../../shared/client/planner.ts'),
  ])
  return { createBenchmarkClient, createPlannerClient }
}
type Clients = Awaited<ReturnType<typeof loadClients>>

function loaded(clients: Clients | undefined): Clients {
  if (clients) return clients
  throw new ScissionError('internal', 'a client is asked for before a command runs')
}
