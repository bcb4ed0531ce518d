/** Ends in order on a signal, which takes this many ms: then it makes the file that is named. */
import { writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { stopOnSignals } from '../../../../infra/start/processes/stop-on-signals.ts'
import { createLog } from '../../../../shared/platform/log.ts'

const [file = '', begun = '', ms] = process.argv.slice(2)
stopOnSignals(
  async () => {
    await sleep(Number(ms))
    writeFileSync(file, 'in order')
  },
  createLog('test', 'error'),
)
setInterval(() => undefined, 1000)
writeFileSync(begun, String(process.pid))
