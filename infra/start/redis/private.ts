/**
 * Entry of a private Redis, `private.ts COMMAND PORT [DATA_DIR]`: runs a real server and ends with it. The server is a
 * foreign program, which would outlive the process that started the system; this process notices its end and stops the
 * server.
 */
import { spawn } from 'node:child_process'
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { dieWithParent, reportReady } from '../processes/die-with-parent.ts'
import { localUrl, takePassword } from './local-server.ts'
import { askServer } from './server-facts.ts'

const [command = '', port = '', dataDir] = process.argv.slice(2)
const password = takePassword()
/** A server usually answers after 0.1 s, but it reads a large append-only file first. */
const ANSWER_TIMEOUT_MS = 60_000
const ASK_EVERY_MS = 20

const SETTINGS = {
  bind: '127.0.0.1',
  port,
  requirepass: password,
  daemonize: 'no',
  // No snapshots: if data has to be kept, the append-only file keeps it.
  save: '',
  appendonly: dataDir === undefined ? 'no' : 'yes',
  dir: dataDir ?? os.tmpdir(),
  // BullMQ requires this: jobs must not be evicted when memory is short.
  'maxmemory-policy': 'noeviction',
}

/** As a line of its configuration has it: in quotes, each byte that could mean something else as `\xHH`. */
const quoted = (value: string) =>
  `"${value.replaceAll(/[^\w./:-]/gu, (character) => Buffer.from(character).toString('hex').replaceAll(/../g, String.raw`\x$&`))}"`

// Before the server runs: a signal in between would end this process alone.
process.on('SIGTERM', () => server.kill())
// Its settings go by standard input: arguments show in a list of processes, and the password is among them.
const server = spawn(command, ['-'], { stdio: ['pipe', 'inherit', 'inherit'] })
server.once('exit', (code, signal) => process.exit(code ?? 128 + os.constants.signals[signal ?? 'SIGTERM']))
dieWithParent(() => server.kill())
// A server that ended before it read them says why itself.
server.stdin.on('error', () => undefined)
server.stdin.end(
  Object.entries(SETTINGS)
    .map(([name, value]) => `${name} ${quoted(value)}\n`)
    .join(''),
)

const url = localUrl(Number(port), password)
// Refused or still loading: ask again. Another process id: that is a foreign server, and this one is about to end.
while ((await askServer(url).catch(() => undefined))?.processId !== server.pid) {
  if (performance.now() > ANSWER_TIMEOUT_MS) throw new Error(`no answer in ${ANSWER_TIMEOUT_MS} ms`)
  await sleep(ASK_EVERY_MS)
}
reportReady(url, { serverPid: server.pid })
