/**
 * Entry of the link emulator's process: `tsx infra/testbed/link-emulator/main.ts '[{"name": "device>edge", "listenPort":
 * 9001, "target": {"host": "127.0.0.1", "port": 8091}, "rttMs": 10, "upMbps": 18.88, "downMbps": null}]'`.
 * If it was started with an IPC channel (`startLinkEmulatorProcess`), it ends with its parent.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import { dieWithParent, reportReady } from '../../start/processes/die-with-parent.ts'
import { startLinkEmulator } from './emulator.ts'
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

dieWithParent()
const emulator = await startLinkEmulator(linksFromArguments())
reportReady('', { ports: emulator.ports })
if (process.send === undefined) console.log(JSON.stringify(await emulator.stats(), null, 1))
