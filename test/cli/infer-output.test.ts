/** Files of `scission infer --output`. */
import { linkSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeOutputs } from '../../infra/cli/commands/infer-output.ts'
import { withFolder } from '../support/folder.ts'

const output = (name: string, value: number) => ({
  name,
  datatype: 'FP32' as const,
  shape: [1],
  bytes: new Uint8Array(Float32Array.of(value).buffer),
})

describe('output files', () => {
  const folder = withFolder('infer-output')

  it.each(['one.npy', 'all.npz', 'several'])('%s: are whole for whoever reads meanwhile', async (name) => {
    const target = path.join(folder(), name)
    const files = await writeOutputs(target, [output('y', 1)])
    expect(files).not.toEqual([])
    const before = files.map((file) => readFileSync(file))
    // A second name of what a reader has open.
    const opened = files.map((_, at) => path.join(folder(), `opened-${name}-${at}`))
    for (const [at, second] of opened.entries()) linkSync(files[at] ?? '', second)
    expect(await writeOutputs(target, [output('y', 2)])).toEqual(files)
    expect(opened.map((file) => readFileSync(file))).toEqual(before)
    expect(files.map((file) => readFileSync(file))).not.toEqual(before)
    expect(readdirSync(folder()).filter((one) => one.includes('partial'))).toEqual([])
  })
})
