/** The emulated Redis as a process: its Lua runs on the event loop, which would otherwise be everybody's. */
import { createRedisServer } from 'js-redis-server'
import { dieWithParent, reportReady } from '../processes/die-with-parent.ts'

dieWithParent()
const server = await createRedisServer({ port: 0 })
reportReady(`redis://127.0.0.1:${server.port}`)
