/** Runs the link emulator in a process of its own, where no other work delays it. */
import { z } from 'zod'
import type { ManagedProcess, ProcessOptions } from '../../start/processes/process.ts'
import type { LinkEmulator } from './emulator.ts'
import type { EmulatedLinkInput } from './settings.ts'

/** `ProcessGroup.start`, or `startProcess` with a log. */
type Start = (options: Omit<ProcessOptions, 'log' | 'logFile'>) => Promise<ManagedProcess>

const Report = z.object({ ports: z.record(z.string(), z.number()) })

/**
 * @param start `(options) => group.start(options)`: the emulator is stopped with the group, or by `close`.
 * @throws ScissionError internal with the emulator's message if a link is wrong or its port is taken.
 */
export async function startLinkEmulatorProcess(
  start: Start,
  links: readonly EmulatedLinkInput[],
): Promise<Pick<LinkEmulator, 'ports' | 'close'>> {
  const emulator = await start({
    name: 'link emulator',
    entry: new URL('./main.ts', import.meta.url),
    args: [JSON.stringify(links)],
    stopGraceMs: 1000,
  })
  const { ports } = Report.parse(emulator.readyMessage)
  return { ports, close: async () => void (await emulator.stop()) }
}
