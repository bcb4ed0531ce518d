/** Puts a step of somebody else between a read of Redis and the write that follows from it. */
import type { Redis } from 'ioredis'

/** Runs `step` once: right after the next read of a field of the hash, before its reader hears of the result. */
export function afterNextRead(redis: Redis, hash: string, step: () => Promise<unknown>): void {
  let done = false
  const read = redis.hget.bind(redis) as (...args: unknown[]) => Promise<string | null>
  const readBuffer = redis.hgetBuffer.bind(redis) as (...args: unknown[]) => Promise<Buffer | null>
  const between =
    <T>(original: (...args: unknown[]) => Promise<T>) =>
    async (...args: unknown[]): Promise<T> => {
      const found = await original(...args)
      if (args[0] === hash && !done) {
        done = true
        await step()
      }
      return found
    }
  Object.assign(redis, { hget: between(read), hgetBuffer: between(readBuffer) })
}
