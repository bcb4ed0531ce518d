/** A parent that starts a group, tells the pids, and waits to be killed. */
import { ProcessGroup } from '../../../../infra/start/processes/group.ts'
import { openRedis } from '../../../../infra/start/redis/open-redis.ts'
import { createLog } from '../../../../shared/platform/log.ts'

const log = createLog('parent', 'silent')
const group = new ProcessGroup(log)
const entry = new URL('./service.ts', import.meta.url)
const first = await group.start({ name: 'first', entry })
const second = await group.start({ name: 'second', entry, args: ['ignores-sigterm'] })
// A real one if there is one: it has no IPC channel to notice anything by.
const redis = await openRedis({ log, env: { PATH: process.env.PATH } })
console.log(JSON.stringify([first.pid, second.pid, redis.pid]))
