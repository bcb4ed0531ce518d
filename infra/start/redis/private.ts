/**
 * Entry of a private Redis, `private.ts COMMAND PORT [DATA_DIR]`: runs a real server and ends with it. The server is a
 * foreign program, which would outlive the process that started the system; this process notices its end and stops the
 * server.
 */
import { spawn } from 'node:child_process'
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { dieWithParent, reportReady } from '../processes/die-with-parent.ts'
import { askServer } from './server-facts.ts'

const [command = '', port = '', dataDir] = process.argv.slice(2)
/** A server usually answers after 0.1 s, but it reads a large append-only file first. */
const ANSWER_TIMEOUT_MS = 60_000
const ASK_EVERY_MS = 20

const SETTINGS = {
  bind: '127.0.0.1',
  port,
  daemonize: 'no',
  // No snapshots: if data has to be kept, the append-only file keeps it.
  save: '',
  appendonly: dataDir === undefined ? 'no' : 'yes',
  dir: dataDir ?? os.tmpdir(),
  // BullMQ requires this: jobs must not be evicted when memory is short.
  'maxmemory-policy': 'noeviction',
}

// Before the server runs: a signal in between would end this process alone.
process.on('SIGTERM', () => server.kill())
const server = spawn(
  command,
  Object.entries(SETTINGS).flatMap(([name, value]) => [`--${name}`, value]),
  { stdio: ['ignore', 'inherit', 'inherit'] },
)
server.once('exit', (code, signal) => process.exit(code ?? 128 + os.constants.signals[signal ?? 'SIGTERM']))
dieWithParent(() => server.kill())

const url = `redis://127.0.0.1:${port}`
// Refused or still loading: ask again. Another process id: that is a foreign server, and this one is about to end.
while ((await askServer(url).catch(() => undefined))?.processId !== server.pid) {
  if (performance.now() > ANSWER_TIMEOUT_MS) throw new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)
  await sleep(ASK_EVERY_MS)
}
reportReady(url)
