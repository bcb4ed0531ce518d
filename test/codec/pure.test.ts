/** The codecs need nothing of Node: a web page could encode and decode too. */
import { fileURLToPath } from 'node:url'
import vm from 'node:vm'
import { build } from 'esbuild'
import { expect, it } from 'vitest'
import { encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { floatTensor } from './support.ts'

const entry = fileURLToPath(new URL('../../shared/codec/index.ts', import.meta.url))

it('shared/codec imports nothing of Node, and its codecs need none of Node’s globals', async () => {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'codec',
  })
  const packages = Object.keys(metafile.inputs).flatMap(
    (file) => /node_modules\/([^/]+)/.exec(file)?.[1] ?? [],
  )
  expect([...new Set(packages)].sort()).toEqual(['leven', 'zod'])

  const page = vm.createContext({ TextEncoder, TextDecoder })
  vm.runInContext(outputFiles[0]?.text ?? '', page)
  const values = Float32Array.from({ length: 4096 }, (_, index) => Math.sin(index))
  for (const name of ['q8', 'q6c', 'q2', 'fp16']) {
    const tensor = floatTensor([1, 4, 1024], values)
    const round = vm.runInContext(
      '(tensor, name, codecs = codec.createTensorCodecs()) => {\
      const encoded = codecs.encodeTensor(tensor, name);\
      return { encoded, decoded: codecs.decodeTensor(encoded, 1e6) }\
    }',
      page,
    ) as (tensor: object, name: string) => { encoded: { bytes: Uint8Array }; decoded: { bytes: Uint8Array } }
    const { encoded, decoded } = round(tensor, name)
    expect([...encoded.bytes]).toEqual([...encodeTensor(tensor, name).bytes])
    expect(decoded.bytes.length).toBe(4 * 4096)
  }
})
