import { expect, it } from 'vitest'
import { execAll } from '../../shared/platform/redis/exec-all.ts'
import { withTestRedis } from '../support/redis.ts'

const redis = withTestRedis()

it('gives what each command of a transaction answered', async () => {
  const commands = redis().state.redis.multi().set('a', '1').get('a')
  expect(await execAll(commands)).toEqual(['OK', '1'])
})

it('rejects if one of them failed, which the transaction itself does not say', async () => {
  const { redis: client } = redis().state
  await client.set('text', 'no set')
  await expect(execAll(client.multi().set('b', '1').sadd('text', 'member'))).rejects.toThrow(/WRONGTYPE/)
})
