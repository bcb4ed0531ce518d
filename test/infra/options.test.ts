import { describe, expect, it } from 'vitest'
import { HELP, parseStartOptions } from '../../infra/start/options.ts'
import { choosePorts } from '../../infra/start/ports.ts'
import { listen } from '../../shared/platform/http-server/listen.ts'

describe('the options of npm start', () => {
  it('have defaults', () => {
    expect(parseStartOptions([])).toMatchObject({
      model: undefined,
      once: false,
      portBase: 8080,
      network: undefined,
    })
  })

  it('are all read, and all in the help', () => {
    const args = [
      'm.onnx',
      '--once',
      '--report',
      'r.json',
      '--testbed',
      't.json',
      '--network',
      '4g',
      '--port-base',
      '0',
      '--shapes',
      'x:1x2',
      '--samples',
      'x.npy',
      '--samples',
      'z.npy',
    ]
    expect(parseStartOptions(args)).toEqual({
      model: 'm.onnx',
      once: true,
      report: 'r.json',
      testbed: 't.json',
      network: '4g',
      portBase: 0,
      inputShapes: { x: [1, 2] },
      samples: ['x.npy', 'z.npy'],
    })
    for (const arg of args.filter((text) => text.startsWith('--'))) expect(HELP).toContain(arg)
    expect(parseStartOptions(['--help'])).toBe('help')
  })

  it.each([
    [['--network', '5g'], /--network must be one of 3g, 4g, wifi, wired, got: 5g/],
    [['--port-base', 'x'], /--port-base must be/],
    [['a.onnx', 'b.onnx'], /one model at a time/],
    [['--wrong'], /--wrong/],
  ])('%j are refused', (args, message) => {
    expect(() => parseStartOptions(args)).toThrow(message)
  })
})

describe('ports', () => {
  it('follow from the base', async () => {
    const { benchmark, planner, inference } = await choosePorts(29_170, 3)
    expect([benchmark, planner, ...inference]).toEqual([29_171, 29_172, 29_180, 29_181, 29_182])
  })

  it('are any free ones, all different, with base 0', async () => {
    const { benchmark, planner, inference } = await choosePorts(0, 3)
    const ports = [benchmark, planner, ...inference]
    expect(new Set(ports).size).toBe(5)
    // Outgoing connections take theirs from here up: one could come in between.
    expect(Math.max(...ports)).toBeLessThan(32_768)
  })

  it('that are taken are named, with the way out', async () => {
    const taken = await listen((_req, res) => res.end(), 29_271, '127.0.0.1')
    await expect(choosePorts(29_270, 1)).rejects.toThrow(/port 29271 in use.*--port-base/)
    await taken.close()
  })
})
