/** Entry of the emulated Redis. It is a process of its own, because it runs Lua scripts on its event loop. */
import { createRedisServer } from 'js-redis-server'
import { dieWithParent, reportReady } from '../processes/die-with-parent.ts'

dieWithParent()
const server = await createRedisServer({ port: 0 })
reportReady(`redis://127.0.0.1:${server.port}`)
