/** The committed test models are those that the scripts in test/data/make write, byte by byte. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { own, ownFile } from '../support/test-models.ts'
import { allFiles } from './make/all.ts'

const FOLDER = ownFile('')
/** A test model is small, or it does not belong into the repository. */
const MAX_BYTES = 400_000
const HINT = 'test/data/models is not what its scripts write: npx tsx test/data/make/main.ts'

describe('the test models', () => {
  it('have the bytes that their scripts write, and no file is there besides', async () => {
    const made = await allFiles()
    const there = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(path.join(FOLDER, name)).isFile())
      .map((name) => name.split(path.sep).join('/'))
    expect(there.sort(), HINT).toEqual([...made.keys()].sort())
    const different = there.filter(
      (name) => !readFileSync(ownFile(name)).equals(made.get(name) ?? Buffer.of()),
    )
    expect(different, HINT).toEqual([])
  })

  it('are small', () => {
    for (const { name, file } of [...own.works, ...own.refused])
      expect(statSync(file).size, name).toBeLessThan(MAX_BYTES)
  })

  it('are of every kind that the suites must meet', () => {
    const { manifest, operators, types } = kinds()
    expect(operators).toEqual(expect.objectContaining(Object.fromEntries(KINDS.map((op) => [op, true]))))
    for (const type of ['float32', 'float16', 'int64']) expect(types).toContain(type)
    expect(manifest.some(({ inputs }) => inputs.length > 1)).toBe(true)
    expect(manifest.some(({ outputs }) => outputs.length > 1)).toBe(true)
    expect(
      manifest.some(({ inputs }) => inputs.some(({ shape }) => shape.some((dim) => typeof dim === 'string'))),
    ).toBe(true)
    expect(own.refused.length).toBeGreaterThan(6)
  })
})

const KINDS = [
  'If',
  'Loop',
  'Scan',
  'LSTM',
  'GRU',
  'QuantizeLinear',
  'Softmax',
  'Concat',
  'Constant',
  'Gelu',
  'Erf',
]

interface ManifestEntry {
  set: string
  ops: Record<string, number>
  inputs: { dtype: string; shape: (number | string)[] }[]
  outputs: { dtype: string }[]
}

function kinds() {
  const all = JSON.parse(readFileSync(ownFile('MANIFEST.json'), 'utf8')) as ManifestEntry[]
  const manifest = all.filter(({ set }) => set === 'dev')
  const operators = Object.fromEntries(
    manifest.flatMap(({ ops }) => Object.keys(ops)).map((op) => [op, true]),
  )
  const types = manifest.flatMap(({ inputs }) => inputs.map(({ dtype }) => dtype))
  return { manifest, operators, types }
}
