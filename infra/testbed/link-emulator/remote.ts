/** Runs the link emulator in a process of its own, behind the same interface as in this process. */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { ManagedProcess, ProcessOptions } from '../../start/processes/process.ts'
import type { LinkEmulator } from './emulator.ts'
import { Answer, type Command, type Request, type Statistics } from './emulator-messages.ts'
import type { EmulatedLinkInput } from './settings.ts'

const NAME = 'link emulator'

/** `ProcessGroup.start`, or `startProcess` with a log. */
type Start = (options: Omit<ProcessOptions, 'log' | 'logFile'>) => Promise<ManagedProcess>

/**
 * @param start `(options) => group.start(options)`: the emulator is stopped with the group, or by `close`.
 * @throws ScissionError internal with the emulator's message if a link is wrong or its port is taken.
 */
export async function startLinkEmulatorProcess(
  start: Start,
  links: readonly EmulatedLinkInput[],
): Promise<LinkEmulator> {
  const emulator = await start({
    name: NAME,
    entry: new URL('./main.ts', import.meta.url),
    args: [JSON.stringify(links)],
    stopGraceMs: 1000,
  })
  const commands = new Commands(emulator)
  const stats = async () => (await commands.send({ do: 'stats' })).statistics ?? {}
  return {
    ports: portsOf(await stats()),
    set: async (link, changes) => void (await commands.send({ do: 'set', link, changes })),
    cut: async (link, kind = 'silent') => void (await commands.send({ do: 'cut', link, kind })),
    restore: async (link) => void (await commands.send({ do: 'restore', link })),
    stats,
    close: async () => void (await emulator.stop()),
  }
}

function portsOf(statistics: Statistics): Record<string, number> {
  return Object.fromEntries(Object.entries(statistics).map(([name, { port }]) => [name, port]))
}

/** Sends commands to the emulator and matches the answers to them. */
class Commands {
  readonly #emulator: ManagedProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #last = 0

  constructor(emulator: ManagedProcess) {
    this.#emulator = emulator
    emulator.onMessage((message) => {
      const parsed = Answer.safeParse(message)
      if (!parsed.success) return
      this.#waiting.get(parsed.data.answer)?.(parsed.data)
      this.#waiting.delete(parsed.data.answer)
    })
  }

  /** @throws ScissionError as the emulator reports it; internal if the emulator has ended. */
  async send(command: Command): Promise<Answer> {
    this.#last += 1
    const request: Request = { request: this.#last, command }
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(request.request, resolve))
    this.#emulator.send({ ...request })
    const answer = await Promise.race([answered, this.#emulator.exited.then(() => undefined)])
    if (!answer) throw new ScissionError('internal', `the ${NAME} is gone`)
    if (answer.error) throw new ScissionError(answer.error.code, answer.error.message)
    return answer
  }
}
