/** Layer ranges as they are fetched, kept, found again and found damaged. */
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { RangeStore } from '../../../services/inference/ranges/range-store.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { RUBBISH_RECORDS } from '../../support/rubbish.ts'
import { subModel, subModelReading } from './range-server.ts'
import { CHUNK, useStore } from './store-of-ranges.ts'

const used = useStore()
const { fileRequests, here, weightFile } = used

describe('a range that is not here yet', () => {
  it('is fetched with just the chunks it needs, each at its own offset of a file of full size', async () => {
    const range = await used.store.open(used.server.key(0))
    expect(fs.readFileSync(range.path ?? '')).toEqual(subModel('0-3'))
    expect(path.dirname(range.path ?? '')).toBe(path.dirname(weightFile()))
    // Other users of the machine do not look into it.
    expect(fs.statSync(path.dirname(weightFile())).mode & 0o077).toBe(0)
    expect(fs.statSync(weightFile()).size).toBe(used.server.weights.length)
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
    for (const index of [3, 4, 6, 9]) expect(here(index).every((byte) => byte === 0)).toBe(true)
  })

  it('fetches neighbouring chunks in one request', async () => {
    await used.store.open(used.server.key(0))
    expect(fileRequests().map((request) => request.range)).toEqual([
      `bytes=0-${3 * CHUNK - 1}`,
      `bytes=${5 * CHUNK}-${6 * CHUNK - 1}`,
    ])
  })

  it('shares chunks with other ranges of the model, the short last chunk included', async () => {
    await used.store.open(used.server.key(0))
    await used.store.open(used.server.key(1))
    expect(
      fileRequests()
        .slice(2)
        .map((request) => request.range),
    ).toEqual([`bytes=${3 * CHUNK}-${5 * CHUNK - 1}`, `bytes=${9 * CHUNK}-${9 * CHUNK + 99}`])
    for (const index of [0, 1, 2, 3, 4, 5, 9]) expect(here(index)).toEqual(used.server.chunk(index))
  })

  it('has no path when it runs no layer', async () => {
    const range = await used.store.open(used.server.key(2))
    expect(range.path).toBeNull()
    expect(range.manifest).toMatchObject({ from: 4, to: 4, onnx: null })
    expect(fileRequests()).toEqual([])
  })

  it('is fetched once when several ask for it at the same time', async () => {
    const opened = await Promise.all([0, 0, 0, 1].map((index) => used.store.open(used.server.key(index))))
    expect(new Set(opened.slice(0, 3).map((range) => range.path)).size).toBe(1)
    const bytes = fileRequests().map((request) => request.range)
    expect(new Set(bytes).size).toBe(bytes.length)
    for (const index of [0, 1, 2, 3, 4, 5, 9]) expect(here(index)).toEqual(used.server.chunk(index))
  })
})

describe('a range that was fetched before', () => {
  it('opens after a restart without fetching a byte of it again', async () => {
    await used.store.open(used.server.key(0))
    used.server.seen.length = 0
    const restarted = new RangeStore({ benchmarkUrl: used.server.url, folder: used.folder })
    await restarted.open(used.server.key(0))
    restarted.close()
    expect(used.server.seen.map((request) => path.basename(request.path))).toEqual(['manifest'])
  })

  it('opens while the benchmark service is down', async () => {
    const before = await used.store.open(used.server.key(0))
    await used.server.stop()
    const again = await used.store.open(used.server.key(0))
    expect(again).toMatchObject({ path: before.path, manifest: before.manifest })
    await expect(used.store.open(used.server.key(1))).rejects.toMatchObject({ code: 'peerUnavailable' })
  })

  it('is fetched again when its weight file was deleted or cut', async () => {
    await used.store.open(used.server.key(0))
    fs.rmSync(weightFile())
    await used.store.open(used.server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
    fs.truncateSync(weightFile(), 10)
    await used.store.open(used.server.key(0))
    for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
  })

  it('is made whole again for everybody who has it open when its file was damaged', async () => {
    await used.store.open(used.server.key(0))
    fs.rmSync(`${weightFile()}.scission-chunks`)
    await used.store.open(used.server.key(1))
    for (const index of [0, 1, 2, 3, 4, 5, 9]) expect(here(index)).toEqual(used.server.chunk(index))
  })

  it('fetches its sub-model again when that was damaged', async () => {
    const { path: file } = await used.store.open(used.server.key(0))
    fs.writeFileSync(file ?? '', subModel('0-X'))
    await used.store.open(used.server.key(0))
    expect(fs.readFileSync(file ?? '')).toEqual(subModel('0-3'))
  })
})

describe('a range whose sub-model refers to bytes that its manifest does not list', () => {
  const open = async (index: number, bytes: [number, number]) => {
    used.server.ranges[index]!.onnx = subModelReading('branch/w', bytes)
    const { log, lines } = recordedLog()
    const own = new RangeStore({ benchmarkUrl: used.server.url, folder: used.folder, log })
    try {
      return { own, lines, error: await own.open(used.server.key(index)).catch((error: unknown) => error) }
    } finally {
      own.close()
    }
  }
  const manifestFile = () => path.join(path.dirname(weightFile()), 'abcdef012345.0-3.json')

  it('does not open: the error names tensor and bytes, and it is logged and counted', async () => {
    const { own, lines, error } = await open(0, [3 * CHUNK - 10, 3 * CHUNK + 10])
    expect(error).toMatchObject({
      code: 'peerUnavailable',
      message: expect.stringContaining(
        `the tensor "branch/w" is in bytes ${3 * CHUNK - 10} to ${3 * CHUNK + 10} of model.onnx`,
      ),
      details: { tensor: 'branch/w', path: 'model.onnx', offset: 3 * CHUNK - 10, length: 20 },
    })
    expect(own.incomplete).toBe(1)
    expect(lines).toEqual([expect.stringContaining('"branch/w"')])
    expect(fs.existsSync(manifestFile())).toBe(false)
  })

  it('does not open either while another range has them: they could be evicted', async () => {
    await used.store.open(used.server.key(1))
    const { error } = await open(0, [3 * CHUNK, 3 * CHUNK + 10])
    expect(error).toMatchObject({ code: 'peerUnavailable' })
  })

  it('does not open if they lie past the end of the file', async () => {
    const { error } = await open(1, [9 * CHUNK, 9 * CHUNK + 101])
    expect(error).toMatchObject({ code: 'peerUnavailable' })
  })

  it('opens if they are listed, to the last byte', async () => {
    const { error, own } = await open(1, [9 * CHUNK, 9 * CHUNK + 100])
    expect(error).toMatchObject({ path: expect.stringContaining('3-7.onnx') })
    expect(own.incomplete).toBe(0)
  })
})

describe('a file of the store that is damaged', () => {
  const manifestFile = () => path.join(path.dirname(weightFile()), 'abcdef012345.0-3.json')
  const opened = async () => {
    const { log, lines } = recordedLog()
    const restarted = new RangeStore({ benchmarkUrl: used.server.url, folder: used.folder, log })
    try {
      return { range: await restarted.open(used.server.key(0)), lines }
    } catch (error) {
      return { error, lines }
    } finally {
      restarted.close()
    }
  }

  it.each(Object.entries(RUBBISH_RECORDS))(
    'counts as absent and is made again: %s',
    async (_what, rubbish) => {
      await used.store.open(used.server.key(0))
      const manifest = fs.readFileSync(manifestFile(), 'utf8')
      const record = fs.readFileSync(`${weightFile()}.scission-chunks`, 'utf8')
      fs.writeFileSync(manifestFile(), rubbish)
      fs.writeFileSync(`${weightFile()}.scission-chunks`, rubbish)
      const { range, lines } = await opened()
      expect(range?.manifest).toEqual(JSON.parse(manifest))
      expect(fs.readFileSync(manifestFile(), 'utf8')).toBe(manifest)
      expect(fs.readFileSync(`${weightFile()}.scission-chunks`, 'utf8')).toBe(record)
      for (const index of [0, 1, 2, 5]) expect(here(index)).toEqual(used.server.chunk(index))
      expect(lines).toEqual([
        expect.stringContaining('model.onnx.scission-chunks is damaged and will be made again: '),
      ])
      expect(lines[0]?.length).toBeLessThan(600)
    },
  )

  it('is said to be damaged when it is needed because the benchmark service is down', async () => {
    await used.store.open(used.server.key(0))
    fs.writeFileSync(manifestFile(), 'hello {')
    await used.server.stop()
    const { error, lines } = await opened()
    expect(error).toMatchObject({ code: 'peerUnavailable' })
    expect(lines).toEqual([`${manifestFile()} is damaged and will be made again: not JSON: "hello {"`])
  })

  it('is not followed out of the folder of its model', async () => {
    await used.store.open(used.server.key(0))
    const text = fs.readFileSync(manifestFile(), 'utf8').replaceAll('model.onnx', '../outside.onnx')
    fs.writeFileSync(manifestFile(), text)
    await used.server.stop()
    const { error, lines } = await opened()
    expect(error).toMatchObject({ code: 'peerUnavailable' })
    expect(fs.readdirSync(path.join(used.folder, 'models'))).toEqual([used.server.model])
    expect(lines).toEqual([expect.stringContaining('is damaged')])
  })
})
