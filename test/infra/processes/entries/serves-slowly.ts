/** A service whose close takes this many ms, and then makes the file that is named; its start may take some, or fail. */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../../../../shared/platform/log.ts'
import { runService } from '../../../../shared/platform/service/run-service.ts'

const [file = '', begun = '', ms, startMs = '0', failure] = process.argv.slice(2)
const close = async () => {
  await sleep(Number(ms))
  writeFileSync(file, 'in order')
}
runService(createLog('test', 'silent'), async () => {
  await sleep(Number(startMs))
  if (failure !== undefined) throw new Error(failure)
  return { url: 'http://127.0.0.1', socket: 'none', close }
})
setInterval(() => undefined, 1000)
setImmediate(() => writeFileSync(begun, String(process.pid)))
