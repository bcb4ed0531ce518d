/** What a sub-model refers to is read while the service goes on. */
import fs from 'node:fs'
import path from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { ReferenceReader } from '../../../services/inference/ranges/read-references.ts'
import { modelWithLongList, threadsStartedBy } from '../../support/long-lists.ts'
import { temporaryFolder } from '../../onnx/support/models.ts'
import { subModelReading } from './range-server.ts'

function openReader(): ReferenceReader {
  const reader = new ReferenceReader()
  onTestFinished(() => reader.close())
  return reader
}

const written = (content: Uint8Array) => {
  const file = path.join(temporaryFolder(), 'range.onnx')
  fs.writeFileSync(file, content)
  return file
}

it('finds the references of a large sub-model on a thread', async () => {
  const reader = openReader()
  const file = written(Buffer.concat([modelWithLongList(500_000), subModelReading('w', [8, 24])]))
  expect(await threadsStartedBy(() => reader.read(file))).toBe(1)
  expect(await reader.read(file)).toEqual([{ tensor: 'w', path: 'model.onnx', offset: 8, length: 16 }])
})

it('says which file is no model, large or small', async () => {
  const reader = openReader()
  for (const bytes of [10, 1_000_000])
    await expect(reader.read(written(Buffer.alloc(bytes, 0xff)))).rejects.toMatchObject({
      code: 'invalidModel',
      message: expect.stringMatching(/range\.onnx is not an ONNX model/),
    })
})
