import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PARTIAL, replaceFile, writeWhole, writeWholeSync } from '../../shared/platform/atomic-file.ts'

let folder: string
let target: string
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-atomic-'))
  target = path.join(folder, 'file.json')
})
afterAll(() => fs.rmSync(folder, { recursive: true }))

const read = () => fs.readFileSync(target, 'utf8')

describe('a file that is written whole or not at all', () => {
  it('is made and replaced, and leaves nothing beside it', async () => {
    await writeWhole(target, 'one')
    expect(read()).toBe('one')
    writeWholeSync(target, new TextEncoder().encode('two'))
    expect(read()).toBe('two')
    expect(fs.readdirSync(folder)).toEqual(['file.json'])
  })

  it('keeps its old content until the new one is complete', async () => {
    await writeWhole(target, 'old')
    const seen = await replaceFile(target, async (partial) => {
      fs.writeFileSync(partial, 'half')
      return read()
    })
    expect([seen, read()]).toEqual(['old', 'half'])
  })

  it('keeps its old content when writing fails, and leaves nothing beside it', async () => {
    await writeWhole(target, 'old')
    const failing = replaceFile(target, async (partial) => {
      fs.writeFileSync(partial, 'half')
      throw new Error('the disk is full')
    })
    await expect(failing).rejects.toThrow('the disk is full')
    expect(read()).toBe('old')
    expect(fs.readdirSync(folder)).toEqual(['file.json'])
  })

  it('cannot be made in a folder that is not there', async () => {
    const nowhere = path.join(folder, 'missing', 'file.json')
    await expect(writeWhole(nowhere, 'x')).rejects.toMatchObject({ code: 'ENOENT' })
    expect(() => writeWholeSync(nowhere, 'x')).toThrow('ENOENT')
  })

  it('fails with what kept it from being written, also where nothing can be removed', async () => {
    await writeWhole(target, 'a file, not a folder')
    const below = path.join(target, 'file.json')
    const failing = replaceFile(below, async () => {
      throw new Error('no place to write')
    })
    await expect(failing).rejects.toThrow('no place to write')
    await expect(writeWhole(below, 'x')).rejects.toMatchObject({ code: 'ENOTDIR', syscall: 'open' })
    expect(() => writeWholeSync(below, 'x')).toThrow(/ENOTDIR.* open /)
  })

  it('is one of the writers’, whole, when several write at once', async () => {
    const texts = Array.from({ length: 20 }, (_, index) => String(index % 10).repeat(100_000))
    await Promise.all(texts.map((text) => writeWhole(target, text)))
    expect(texts).toContain(read())
    expect(fs.readdirSync(folder)).toEqual(['file.json'])
  })

  it('of a sole writer overwrites what a crash has left', async () => {
    const partial = target + PARTIAL
    fs.writeFileSync(partial, 'left over, and longer than what follows')
    await replaceFile(target, async (place) => fs.writeFileSync(place, 'new'), partial)
    expect(read()).toBe('new')
    expect(fs.readdirSync(folder)).toEqual(['file.json'])
  })
})
