// Answers every question with its own kind, but a sweep never, and dies of a graph.
import { parentPort } from 'node:worker_threads'

parentPort.on('message', ({ work }) => {
  if (work.kind === 'graph') process.exit(1)
  if (work.kind !== 'sweep') parentPort.postMessage({ result: { kind: work.kind } })
})
