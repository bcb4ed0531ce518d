// Answers with what it was given and how many it has had; waits, fails or dies when it is told to.
import { parentPort } from 'node:worker_threads'

let had = 0
parentPort.on('message', (work) => {
  had += 1
  if (work.do === 'die') process.exit(1)
  if (work.do === 'fail')
    return parentPort.postMessage({ failure: { code: 'badRequest', message: 'no', details: { at: 1 } } })
  if (work.do === 'wait') Atomics.wait(new Int32Array(work.gate), 0, 0)
  parentPort.postMessage({ result: { had, bytes: work.bytes?.byteLength } })
})
