/** Large model files are read while the service goes on. */
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ModelFiles } from '../../../services/benchmark/models/model-files.ts'
import { modelWithLongList, turnsDuring } from '../../support/long-lists.ts'
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

it('describes a model with millions of numbers in an attribute without blocking', async () => {
  const file = written(modelWithLongList(5_000_000))
  expect(await turnsDuring(() => files.describe(file, LIMITS))).toBeGreaterThan(20)
  expect((await files.describe(file, LIMITS)).inputs).toMatchObject([{ name: 'x', shape: [1] }])
})

it('checks what a sub-model of such a model refers to without blocking', async () => {
  const file = written(modelWithLongList(5_000_000))
  expect(await turnsDuring(() => files.isListed(file, []))).toBeGreaterThan(20)
})

it('refuses from the thread as at once', async () => {
  for (const count of [10, 2_000_000])
    await expect(
      files.describe(written(modelWithLongList(count)), { maxBytes: 10, maxParts: 1 }),
    ).rejects.toThrow(/the model's structure without its weights has more than/)
})
