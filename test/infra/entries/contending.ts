/**
 * Locks a folder again and again, and leaves each lock as a killed process does. What is in work.log was written under it.
 *
 *   node contending.ts FOLDER ROUNDS DEAD_PID
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockFolder } from '../../../infra/experiment/folder-lock.ts'

const [folder = '', rounds, pid] = process.argv.slice(2)
const file = path.join(folder, 'experiment.lock')
const note = (what: string) => appendFileSync(path.join(folder, 'work.log'), `${what} ${process.pid}\n`)

for (let round = 0; round < Number(rounds); ) {
  try {
    const lock = await lockFolder(folder)
    note('begins')
    await sleep(2)
    lock.assertHeld()
    note('ends')
    const owner: object = JSON.parse(readFileSync(file, 'utf8'))
    writeFileSync(file, JSON.stringify({ ...owner, pid: Number(pid), startedAt: new Date().toISOString() }))
    round += 1
  } catch (thrown) {
    if (!String(thrown).includes('is in use')) throw thrown
    await sleep(1)
  }
}
