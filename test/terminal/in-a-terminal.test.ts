/** Commands in a real terminal of 40, 80 and 200 columns, and in a pipe. */
import { spawnSync } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import stringWidth from 'string-width'
import { describe, expect, it } from 'vitest'
import { runNode, SCISSION } from '../support/command.ts'

const IS_MISSING = process.platform !== 'linux' || spawnSync('script', ['--version']).status !== 0
if (IS_MISSING) console.warn('skipped: `script` of util-linux is not here, which makes terminals')

/** Lines as a terminal of so many columns gets them. */
function inTerminal(columns: number, ...args: string[]): string[] {
  const command = ['stty', 'cols', String(columns), ';', process.execPath, SCISSION, ...args].join(' ')
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1', TERM: 'xterm' },
  })
  return stripVTControlCharacters(stdout).trimEnd().split('\r\n')
}

/** Words that are longer than the terminal are wide stay whole. */
const tooWide = (lines: readonly string[], columns: number) =>
  lines.filter((line) => stringWidth(line) > columns && line.trim().includes(' '))

describe('in a terminal', { skip: IS_MISSING }, () => {
  it.each([40, 80, 200])('of %i columns, help and tables fit', (columns) => {
    for (const args of [['--help'], ['plan', '--help'], ['zoo', 'list'], ['config', 'inference']])
      expect(tooWide(inTerminal(columns, ...args), columns), args.join(' ')).toEqual([])
  })

  it('of 40 columns, an error fits, and the important columns are there', () => {
    expect(tooWide(inTerminal(40, 'plan'), 40)).toEqual([])
    expect(inTerminal(40, 'zoo', 'list')[0]).toMatch(/network +parameters$/)
  })
})

it('in a pipe, nothing is cut', async () => {
  const { stdout } = await runNode([SCISSION, 'config', 'inference'], {
    env: { ...process.env, NO_COLOR: '1' },
  })
  expect(stdout).toMatch(/SCISSION_ROUTES.*\n/)
  expect(stdout).not.toContain('left out for want of width')
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeGreaterThan(100)
})
