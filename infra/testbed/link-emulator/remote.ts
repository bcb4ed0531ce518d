/** Runs the link emulator in a process of its own, where no other work delays it. */
import { z } from 'zod'
import type { ManagedProcess, ProcessOptions } from '../../start/processes/process.ts'
import type { LinkEmulator } from './emulator.ts'
import type { EmulatedLinkInput } from './settings.ts'

type Emulator = Pick<ManagedProcess, 'readyMessage' | 'stop' | 'pid'>

/** `ProcessGroup.startSupervised`, or `startProcess` with a log. */
type Start = (
  options: Omit<ProcessOptions, 'log' | 'logFile'>,
  restart: (first: Emulator) => { args: () => readonly string[] },
) => Promise<Emulator>

const Report = z.object({ ports: z.record(z.string(), z.number()) })

/**
 * @param start the emulator is stopped with the group, or by `close`. One that is started again has the same ports.
 * @throws ScissionError internal with the emulator's message if a link is wrong or its port is taken.
 */
export async function startLinkEmulatorProcess(
  start: Start,
  links: readonly EmulatedLinkInput[],
): Promise<Pick<LinkEmulator, 'ports' | 'close'> & { readonly pid: number | undefined }> {
  const portsOf = ({ readyMessage }: Emulator) => Report.parse(readyMessage).ports
  const emulator = await start(
    {
      name: 'link emulator',
      entry: new URL('./main.ts', import.meta.url),
      args: [JSON.stringify(links)],
      stopGraceMs: 1000,
    },
    (first) => {
      const ports = portsOf(first)
      const same = links.map((link) => ({ ...link, listenPort: ports[link.name] }))
      return { args: () => [JSON.stringify(same)] }
    },
  )
  const ports = portsOf(emulator)
  return {
    ports,
    get pid() {
      return emulator.pid
    },
    close: async () => void (await emulator.stop()),
  }
}
