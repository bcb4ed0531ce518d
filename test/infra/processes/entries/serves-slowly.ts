/** A service whose close takes this many ms: then it makes the file that is named. */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../../../../shared/platform/log.ts'
import { runService } from '../../../../shared/platform/service/run-service.ts'

const [file = '', begun = '', ms] = process.argv.slice(2)
const close = async () => {
  await sleep(Number(ms))
  writeFileSync(file, 'in order')
}
runService(createLog('test', 'silent'), async () => ({ url: 'http://127.0.0.1', socket: 'none', close }))
setInterval(() => undefined, 1000)
setImmediate(() => writeFileSync(begun, String(process.pid)))
