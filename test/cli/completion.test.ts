/** The scripts that `scission completion` prints, sourced by the shells themselves. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { runNode, SCISSION } from '../support/command.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('completion')
const isMissing = (shell: string) => spawnSync(shell, ['--version']).error !== undefined

for (const shell of ['bash', 'zsh', 'fish'])
  if (isMissing(shell)) console.warn(`skipped: there is no ${shell} here to source its completion`)

async function scriptFor(shell: string): Promise<string> {
  const { code, stdout, stderr } = await runNode([SCISSION, 'completion', shell])
  expect(code, stderr).toBe(0)
  const file = path.join(folder(), `scission.${shell}`)
  writeFileSync(file, stdout)
  return file
}

/** Words of a command line, and what completes the last one; files aside. */
const OFFERS: [words: string[], expected: string[]][] = [
  [['pl'], ['plan']],
  [
    ['models', ''],
    ['add', 'list', 'delete', 'samples'],
  ],
  [['--json', 'links', 's'], ['set']],
  [['--port-base', '9000', 'resou'], ['resources']],
  [['plan', 'model', '--max-l'], ['--max-latency-ms']],
  [['models', 'add', '--na'], ['--name']],
  [
    ['calibrate', 'model', '--network', ''],
    ['3g', '4g', 'wifi', 'wired'],
  ],
  [['status', '--js'], ['--json']],
  [['plan', 'model', '--top', ''], []],
  [['models', 'nonsense', '--giv'], []],
  [['plan', 'models', '--max-l'], ['--max-latency-ms']],
  [['status', '--port-b'], ['--port-base']],
  [['models', 'add', ''], []],
  [['plan', 'net', '--objective', 'e'], ['energy']],
  [
    ['plan', 'net', '--confidence', ''],
    ['median', 'upper'],
  ],
  [
    ['sweep', 'net', '--network', 'w'],
    ['wifi', 'wired'],
  ],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['config', 'p'], ['planner']],
  [
    ['zoo', 'build', 'vgg'],
    ['vgg16', 'vgg19'],
  ],
  [['up', '--net'], ['--network']],
  [['up', '--network', '3'], ['3g']],
]

describe('bash', { skip: isMissing('bash') }, () => {
  let file = ''
  beforeAll(async () => {
    file = await scriptFor('bash')
  })

  /** What bash offers for the last word. */
  function offered(...words: string[]): string[] {
    const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _scission 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', file, 'scission', ...words], {
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    return stdout.split('\n').filter(Boolean)
  }

  it('is told of the function for scission', () => {
    const { stdout } = spawnSync('bash', ['-c', 'source "$1"; complete -p scission', 'bash', file], {
      encoding: 'utf8',
    })
    expect(stdout.trim()).toBe('complete -F _scission scission')
  })

  it.each(OFFERS)('%j: %j', (words, expected) => {
    expect(offered(...words)).toEqual(expected)
  })
})

it('zsh sources its script', { skip: isMissing('zsh') }, async () => {
  const file = await scriptFor('zsh')
  const script = 'autoload -U compinit && compinit -u -D; source "$1" && print ${_comps[scission]:-none}'
  const { stdout, stderr, status } = spawnSync('zsh', ['-fc', script, 'zsh', file], { encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toContain('_scission')
})

describe('fish', { skip: isMissing('fish') }, () => {
  let file = ''
  let empty = ''
  beforeAll(async () => {
    file = await scriptFor('fish')
    empty = path.join(folder(), 'empty')
    mkdirSync(empty)
  })

  /** What fish offers for the last word, in a folder without files. */
  const offered = (...words: string[]): string[] => {
    const script = `source "$argv[1]"; complete -C "$argv[2]"`
    const line = ['scission', ...words].join(' ')
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script, file, line], {
      cwd: empty,
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    return stdout.split('\n').flatMap((offer) => offer.split('\t')[0] || [])
  }

  it.each(OFFERS)('%j: %j', (words, expected) => {
    expect(offered(...words).toSorted()).toEqual(expected.toSorted())
  })

  it('says what each is for', () => {
    const script = `source "$argv[1]"; complete -C "scission models de"`
    const { stdout } = spawnSync('fish', ['--no-config', '-c', script, file], { encoding: 'utf8' })
    expect(stdout.trim()).toBe('delete\tremove a model that no deployment uses')
  })
})
