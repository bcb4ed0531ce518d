import http from 'node:http'
import { Redis } from 'ioredis'
import { describe, expect, it, vi } from 'vitest'
import { Collection } from '../../shared/platform/redis/collection.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { gate } from '../support/gate.ts'
import { usePlanner } from './harness.ts'

const { used } = usePlanner()

describe('the events of a deployment', () => {
  it('take no connection to Redis for a client that has left before they began', async () => {
    const deployment = exampleDeployment('live', [hop('device', 0, 4)])
    await used.state.deployments.put('live', deployment)
    const looking = gate()
    const release = looking.close()
    const need = vi.spyOn(Collection.prototype, 'need').mockImplementationOnce(async () => {
      await looking.opened()
      return deployment
    })
    const duplicate = vi.spyOn(Redis.prototype, 'duplicate')
    const leaving = http.get(`${used.url}/v1/deployments/live/events`).on('error', () => undefined)
    await expect.poll(looking.waiting).toBe(1)
    leaving.destroy()
    // The service learns of it before it goes on.
    await new Promise((resolve) => setTimeout(resolve, 200))
    release()
    await expect.poll(looking.waiting).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(duplicate).not.toHaveBeenCalled()
    duplicate.mockRestore()
    need.mockRestore()
  })
})
