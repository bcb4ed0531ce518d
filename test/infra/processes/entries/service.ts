/** A child process that behaves well, or badly as its argument says. */
import { spawn } from 'node:child_process'
import { dieWithParent, reportReady } from '../../../../infra/start/processes/die-with-parent.ts'

dieWithParent()
const [behaviour = 'plain'] = process.argv.slice(2)
console.log(`behaviour: ${behaviour}`)
// Keeps the process alive, as a server would.
setInterval(() => undefined, 1000)

switch (behaviour) {
  case 'crash-before-ready':
    console.error('the reason it died')
    process.exit(3)
    break
  case 'silent':
    break
  case 'crash-when-told':
    process.on('message', () => {
      console.error('told to crash')
      throw new Error('as told')
    })
    break
  case 'ignores-sigterm':
    process.on('SIGTERM', () => console.log('SIGTERM ignored'))
    break
  case 'has-a-child': {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    process.send?.({ grandchild: child.pid })
    break
  }
  case 'reports-order':
    process.on('SIGTERM', () => process.exit(0))
    break
}
if (behaviour !== 'silent') reportReady('http://127.0.0.1:1')
