/** NumPy files that we write are read back as they were, by ourselves and by NumPy if there is one. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { DATATYPES } from '../../shared/contracts/common.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { byteLength } from '../../shared/contracts/tensor.ts'
import { encodeElements } from '../../shared/oip/bytes-elements.ts'
import { readNpy, readNpz } from '../../shared/tensors/read-numpy.ts'
import { writeNpy, writeNpz } from '../../shared/tensors/write-numpy.ts'
import { withFolder } from '../support/folder.ts'
import { findPython, noPython } from '../support/python.ts'

const folder = withFolder('write-numpy')
const NUMBERS = DATATYPES.filter((datatype) => datatype !== 'BYTES' && datatype !== 'BF16')
const texts = (...elements: string[]) => encodeElements(elements.map((text) => Buffer.from(text)))

function tensorOf(datatype: (typeof NUMBERS)[number], shape: number[]): Tensor {
  const bytes = new Uint8Array(byteLength(datatype, shape)).map((_, index) =>
    datatype === 'BOOL' ? index % 2 : index,
  )
  return { name: `a-${datatype}`, datatype, shape, bytes }
}

describe('an array', () => {
  it.each(NUMBERS)('of %s is read back, of any shape', (datatype) => {
    for (const shape of [[], [3], [2, 3], [0, 4], [1, 1, 1, 2]]) {
      const tensor = tensorOf(datatype, shape)
      const file = writeNpy(tensor)
      // Up to the data, a multiple of 64, as the format says.
      expect((file.length - tensor.bytes.length) % 64).toBe(0)
      const { name: _, ...array } = tensor
      const read = readNpy(file, 'file')
      expect({ ...read, bytes: [...read.bytes] }).toEqual({ ...array, bytes: [...array.bytes] })
    }
  })

  it('of texts is one of byte strings; one that NumPy would cut is refused', () => {
    const tensor: Tensor = { name: 't', datatype: 'BYTES', shape: [3], bytes: texts('one', '', 'three') }
    const read = readNpy(writeNpy(tensor), 'file')
    expect([read.datatype, read.shape, Buffer.from(read.bytes).equals(tensor.bytes)]).toEqual([
      'BYTES',
      [3],
      true,
    ])
    expect(() => writeNpy({ ...tensor, shape: [1], bytes: texts('a\0') })).toThrow(/ends in a zero/)
  })

  it('of bfloat16, which NumPy has not, is one of float32', () => {
    const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc000).buffer)
    const read = readNpy(writeNpy({ name: 'b', datatype: 'BF16', shape: [2], bytes }), 'file')
    expect([read.datatype, ...new Float32Array(Uint8Array.from(read.bytes).buffer)]).toEqual(['FP32', 1, -2])
  })
})

it('an archive holds arrays by their names, whatever those are', async () => {
  const tensors = NUMBERS.map((datatype) => ({ ...tensorOf(datatype, [2]), name: `dense/${datatype}:0` }))
  const arrays = await readNpz(writeNpz(tensors), 'file', 1e6)
  expect([...arrays.keys()]).toEqual(tensors.map(({ name }) => name))
})

// Exporters name tensors by the path of their layer.
const PATHS = ['/z/Cast:0', 'z/Cast:0', '../z', '\\z', 'C:\\z', './z', 'ä', '__proto__']
const named = PATHS.map((name) => ({ ...tensorOf('FP32', [2]), name }))

it('an archive keeps names that look like paths apart, and as they are', async () => {
  expect([...(await readNpz(writeNpz(named), 'file', 1e6)).keys()]).toEqual(PATHS)
})

const python = findPython('numpy') ?? ''
const NO_NUMPY = python === ''
if (NO_NUMPY) console.warn(`skipped: ${noPython('numpy')}, so NumPy itself is not asked`)

it('NumPy reads them', { skip: NO_NUMPY }, () => {
  const file = path.join(folder(), 'all.npz')
  writeFileSync(file, writeNpz([tensorOf('FP32', [2, 3]), tensorOf('INT64', [3]), tensorOf('BOOL', [])]))
  const script = 'import numpy, sys\nfor k, v in numpy.load(sys.argv[1]).items(): print(k, v.dtype, v.shape)'
  const printed = execFileSync(python, ['-c', script, file], { encoding: 'utf8' })
  expect(printed.trim().split('\n')).toEqual([
    'a-FP32 float32 (2, 3)',
    'a-INT64 int64 (3,)',
    'a-BOOL bool ()',
  ])
  writeFileSync(file, writeNpz(named))
  const names = 'import json, numpy, sys\nprint(json.dumps(numpy.load(sys.argv[1]).files))'
  expect(JSON.parse(execFileSync(python, ['-c', names, file], { encoding: 'utf8' }))).toEqual(PATHS)
})

it('what NumPy writes is read', { skip: NO_NUMPY }, async () => {
  const file = path.join(folder(), 'written.npz')
  const write = (by: string) =>
    `import numpy, sys\nnumpy.${by}(sys.argv[1], **{"/a": numpy.arange(30000), "ä": numpy.zeros((2, 0), "<f4")})`
  for (const by of ['savez', 'savez_compressed']) {
    execFileSync(python, ['-c', write(by), file])
    const arrays = await readNpz(readFileSync(file), 'file', 1e6)
    expect([...arrays].map(([name, { datatype, shape }]) => [name, datatype, shape])).toEqual([
      ['/a', 'INT64', [30_000]],
      ['ä', 'FP32', [2, 0]],
    ])
  }
})
