/** The structure of a model of very many layers: written, read and answered in pieces, between which others have their turn. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Structure } from '../../../shared/contracts/model.ts'
import { PIECE_CHARACTERS } from '../../../shared/platform/turns.ts'
import { structureId } from '../../../shared/platform/redis/state.ts'
import { ownFile } from '../../support/test-models.ts'
import { turnsDuring } from '../../support/turns-during.ts'
import { withBenchmarkService } from '../harness.ts'

const LAYERS = 10_000
const harness = withBenchmarkService()
let long: Structure
let id: string
const layersOf = (query = '') => fetch(`${harness().client.baseUrl}/v1/models/net/layers${query}`)

beforeAll(async () => {
  await harness().client.uploadModel(ownFile('digits-cnn.onnx'), 'net')
  const short = await harness().client.structure('net')
  const [layer] = short.layers
  const [boundary] = short.boundaries
  if (!layer || !boundary) throw new Error('the model has no layers')
  long = {
    ...short,
    layers: Array.from({ length: LAYERS }, (_, index) => ({ ...layer, index, name: `layer ${index}` })),
    boundaries: Array.from({ length: LAYERS + 1 }, (_, k) => ({ ...boundary, k, allowed: true })),
  }
  id = structureId(short.model, short.shapesKey)
})

describe('a structure of many layers', () => {
  it('is written to Redis in pieces', async () => {
    const { structures } = harness().state
    const { turns } = await turnsDuring(() => structures.put(id, long))
    const text = JSON.stringify(long)
    expect(turns).toBeGreaterThan(text.length / PIECE_CHARACTERS)
    expect(await harness().state.redis.hget('scission:structures', id)).toBe(text)
  })

  it('is answered in pieces, whole and in part', async () => {
    await harness().state.structures.put(id, long)
    const { turns, value } = await turnsDuring(() => layersOf())
    const text = await value.text()
    expect(text).toBe(JSON.stringify(long))
    // Both the reading and the writing.
    expect(turns).toBeGreaterThan((2 * text.length) / PIECE_CHARACTERS - 4)
    const part = (await (await layersOf('?from=5000&to=5002')).json()) as Structure
    expect(part).toEqual({
      ...long,
      layers: long.layers.slice(5000, 5002),
      boundaries: long.boundaries.slice(5000, 5003),
    })
  })

  it('goes with its model, and with no other', async () => {
    const { structures } = harness().state
    const other = { ...long, model: 'b'.repeat(64) as Structure['model'] }
    const otherId = structureId(other.model, other.shapesKey)
    await structures.put(id, long)
    await structures.put(otherId, other)
    await harness().client.deleteModel('net')
    expect(await structures.ids()).toEqual([otherId])
  })
})
