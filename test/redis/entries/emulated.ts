/** The emulated Redis on a given port: one that ended can be started again where its clients look for it. */
import { createRedisServer } from 'js-redis-server'
import { dieWithParent, reportReady } from '../../../infra/start/processes/die-with-parent.ts'

dieWithParent()
const server = await createRedisServer({ port: Number(process.argv[2]) })
reportReady(`redis://127.0.0.1:${server.port}`)
