/** Empties the Redis whose URL is its argument. */
import { Redis } from 'ioredis'

const redis = new Redis(process.argv[2] ?? '')
await redis.flushall()
redis.disconnect()
if (process.connected) process.disconnect()
