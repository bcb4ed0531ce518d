/** A model that Redis knows, and whose files this service does not have: what needs them is refused, and names no path. */
import { expect, it } from 'vitest'
import { structureId } from '../../../shared/platform/redis/state.ts'
import { exampleModel, exampleStructure } from '../../support/fixtures.ts'
import { withBenchmarkService } from '../harness.ts'

const harness = withBenchmarkService()

it('is not found when its layers are asked for as files', async () => {
  const { state, url } = harness()
  const structure = exampleStructure()
  await state.structures.put(structureId(structure.model, structure.shapesKey), structure)
  await state.models.put(exampleModel().id, exampleModel())
  for (const path of ['ranges/0-2', 'ranges/0-2/manifest', 'files/model.onnx', 'samples/data']) {
    const answer = await fetch(`${url}/v1/models/chain/${path}`)
    const said = await answer.text()
    expect([path, answer.status, said]).toEqual([path, 404, expect.not.stringContaining('ENOENT')])
  }
  expect((await fetch(`${url}/v1/models/chain`, { method: 'DELETE' })).status).toBeLessThan(300)
})
