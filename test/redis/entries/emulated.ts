/** The emulated Redis on a given port of every interface, without a password: for machines in a network of their own. */
import { createRedisServer } from 'js-redis-server'
import { dieWithParent, reportReady } from '../../../infra/start/processes/die-with-parent.ts'

dieWithParent()
const server = await createRedisServer({ port: Number(process.argv[2]) })
reportReady(`redis://127.0.0.1:${server.port}`)
