/** Clients of other projects, unchanged, against a model, a layer range and a deployment over two resources. */
import { describe, expect, it } from 'vitest'
import { NEEDS_CLIENTS, runPython, script } from './run-client.ts'
import { withForeignSystem } from './system.ts'

/** What each script checks, once, and for each target. */
const CLIENTS = [
  {
    file: 'ask_triton.py',
    once: ['server', 'index', 'unknown model'],
    each: ['ready', 'metadata', 'binary', 'json', 'compressed', 'one output', 'errors', 'statistics'],
    model: 'typed',
  },
  { file: 'ask_kserve.py', once: ['server'], each: ['ready', 'binary', 'json', 'errors'], model: 'typed' },
  {
    file: 'ask_open_inference.py',
    once: ['server', 'unknown model'],
    each: ['ready', 'metadata', 'json', 'errors'],
    model: 'plain',
  },
] as const

describe('a client of another project', NEEDS_CLIENTS, () => {
  const system = withForeignSystem()

  it.each(CLIENTS)('finds all as it expects it: $file', async ({ file, once, each, model }) => {
    const targets = system()[model]
    const { code, text } = await runPython('python', [script(file), system().device, ...targets])
    const passed = text.split('\n').filter((line) => line.startsWith('{"check"'))
    const wanted = [
      ...once.map((check) => ({ check, target: '' })),
      ...targets.flatMap((target) => each.map((check) => ({ check, target }))),
    ]
    expect(code, text).toBe(0)
    expect(passed.map((line) => JSON.parse(line) as unknown)).toEqual(expect.arrayContaining(wanted))
    expect(passed).toHaveLength(wanted.length)
  })
})
