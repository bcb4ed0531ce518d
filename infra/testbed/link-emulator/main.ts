/**
 * Entry of the link emulator's process: `tsx infra/testbed/link-emulator/main.ts '[{"name": "device>edge", "listenPort":
 * 9001, "target": {"host": "127.0.0.1", "port": 8091}, "rttMs": 10, "upMbps": 18.88, "downMbps": null}]'`.
 * If it was started with an IPC channel (`startLinkEmulatorProcess`), it accepts the commands of emulator-messages.ts and
 * ends with its parent.
 */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { dieWithParent, reportReady } from '../../start/processes/die-with-parent.ts'
import { type LinkEmulator, startLinkEmulator } from './emulator.ts'
import { type Answer, type Command, Request, type Statistics } from './emulator-messages.ts'
import type { EmulatedLinkInput } from './settings.ts'

function linksFromArguments(): EmulatedLinkInput[] {
  const text = process.argv[2] ?? '[]'
  try {
    // startLinkEmulator validates it.
    return JSON.parse(text) as EmulatedLinkInput[]
  } catch (thrown) {
    throw new ScissionError('badRequest', `the links must be a JSON list, got: ${text}`, undefined, thrown)
  }
}

/** Runs a command. Only `stats` has a result. */
async function obey(emulator: LinkEmulator, command: Command): Promise<Statistics | undefined> {
  if (command.do === 'stats') return emulator.stats()
  if (command.do === 'set') await emulator.set(command.link, command.changes)
  else if (command.do === 'cut') await emulator.cut(command.link, command.kind)
  else await emulator.restore(command.link)
  return undefined
}

async function answer(emulator: LinkEmulator, { request, command }: Request): Promise<Answer> {
  try {
    const statistics = await obey(emulator, command)
    return { answer: request, ...(statistics && { statistics }) }
  } catch (thrown) {
    const code = thrown instanceof ScissionError ? thrown.code : 'internal'
    return { answer: request, error: { code, message: coerceError(thrown).message } }
  }
}

dieWithParent()
const emulator = await startLinkEmulator(linksFromArguments())
process.on('message', (message) => {
  void answer(emulator, Request.parse(message)).then((reply) => process.send?.(reply))
})
reportReady('')
if (process.send === undefined) console.log(JSON.stringify(await emulator.stats(), null, 1))
