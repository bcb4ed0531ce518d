/**
 * Entry of the emulated Redis, `emulated.ts [PORT]`. It is a process of its own, because it runs Lua scripts on its event loop.
 *
 * The library's own `createRedisServer` listens on every interface and asks for no password, so its parts are put together
 * here.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createRedisCommandExecutor, RedisServerState, Resp2Server } from 'js-redis-server/core'
import { dieWithParent, reportReady } from '../processes/die-with-parent.ts'
import { localUrl, takePassword } from './local-server.ts'

/** As many as a real one has. */
const DATABASES = 16

dieWithParent()
const [port = '0'] = process.argv.slice(2)
const password = takePassword()
const state = new RedisServerState({ requirepass: password, databaseCount: DATABASES })
const { server } = new Resp2Server({ server: state, executor: createRedisCommandExecutor() })
server.listen(Number(port), '127.0.0.1')
await once(server, 'listening')
reportReady(localUrl((server.address() as AddressInfo).port, password))
