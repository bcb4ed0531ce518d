/** Large model files are read while the service goes on. */
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ModelFiles } from '../../../services/benchmark/models/model-files.ts'
import { OWN_WORK } from '../../../shared/platform/http-server/client-of.ts'
import { modelWithLongList, threadsStartedBy } from '../../support/long-lists.ts'
import { temporaryFolder } from '../../onnx/support/models.ts'

const LIMITS = { maxBytes: 2 ** 28, maxParts: 1000 }

let files: ModelFiles
beforeEach(() => {
  files = new ModelFiles()
})
afterEach(() => files.close())

const written = (content: Uint8Array) => {
  const file = path.join(temporaryFolder(), 'model.onnx')
  fs.writeFileSync(file, content)
  return file
}

it('describes and checks models with millions of numbers in an attribute on a thread, small ones at once', async () => {
  const [small, large] = [10, 5_000_000].map((count) => written(modelWithLongList(count)))
  const work =
    (file = '') =>
    async () => {
      expect((await files.describe(file, LIMITS, OWN_WORK)).inputs).toMatchObject([{ name: 'x', shape: [1] }])
      expect(await files.isListed(file, [], OWN_WORK)).toBe(true)
    }
  expect(await threadsStartedBy(work(small))).toBe(0)
  expect(await threadsStartedBy(work(large))).toBe(1)
})

it.each([
  ['describes', (file: string) => files.describe(file, LIMITS, OWN_WORK)],
  ['checks', (file: string) => files.isListed(file, [], OWN_WORK)],
])('%s a large one on the thread', async (_, read) => {
  const file = written(modelWithLongList(500_000))
  expect(await threadsStartedBy(() => read(file))).toBe(1)
})

it('refuses from the thread as at once', async () => {
  for (const count of [10, 2_000_000])
    await expect(
      files.describe(written(modelWithLongList(count)), { maxBytes: 10, maxParts: 1 }, OWN_WORK),
    ).rejects.toThrow(/the model's structure without its weights has more than/)
})
