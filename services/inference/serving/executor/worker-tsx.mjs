// Runs worker.ts from source: on Node 20 a worker thread does not inherit tsx's loader. Not part of a build.
import { register } from 'tsx/esm/api'

register()
await import('./worker.ts')
