/** The counts of `npm test`, on a folder of tests that fail in every way there is. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeArguments } from '../../infra/start/processes/entry.ts'

const CONFIG = `export default { test: { include: ['*.test.ts'], pool: 'forks', maxWorkers: 2,
  tags: [{ name: 'extra', description: 'found extra material in a folder' }, { name: 'none', description: 'no more' }] } }`
const FILES = {
  passes: `it('a', () => expect(1).toBe(1)); it.skip('b', () => undefined)`,
  'uses-material': `describe('x', { tags: ['extra'] }, () => {
    it('a', () => undefined); it.skip('b', () => undefined); it('c', { tags: ['none'], skip: true }, () => undefined) })`,
  fails: `it('a', () => expect(1).toBe(2))`,
  'cannot-load': `import './missing.ts'`,
  'throws-at-load': `it('a', () => undefined); throw new Error('no such luck')`,
  'fails-before': `describe('x', () => { beforeAll(() => { throw new Error('no server') }); it('a', () => undefined) })`,
  'fails-after': `afterAll(() => { throw new Error('left behind') }); it('a', () => undefined)`,
  unhandled: `it('a', async () => { Promise.reject(new Error('nobody cares')); await new Promise((go) => setTimeout(go, 50)) })`,
  crashes: `it('a', () => process.kill(process.pid, 'SIGKILL')); it('b', () => undefined)`,
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'scission-test-run-'))
  symlinkSync(path.resolve('node_modules'), path.join(folder, 'node_modules'))
  writeFileSync(path.join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(path.join(folder, 'vitest.config.ts'), CONFIG)
  const imports = `import { afterAll, beforeAll, describe, expect, it } from 'vitest'\n`
  for (const [name, text] of Object.entries(FILES))
    writeFileSync(path.join(folder, `${name}.test.ts`), imports + text)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** @param filter part of the names of the files to run; none: all. */
function run(...filter: string[]) {
  const script = nodeArguments(new URL('../../infra/test.ts', import.meta.url))
  const { status, stdout, stderr } = spawnSync(process.execPath, [...script, ...filter], {
    cwd: folder,
    encoding: 'utf8',
    // Not a part of the run that this test is in.
    env: { ...process.env, VITEST: undefined, VITEST_WORKER_ID: undefined, VITEST_POOL_ID: undefined },
  })
  return { status, printed: stdout + stderr, last: stdout.trimEnd().split('\n').at(-1) }
}

describe('the last line of npm test', () => {
  it('counts every way in which a file can fail, and what is printed before it says what it was', () => {
    const { status, printed, last } = run()
    // Passed: in passes, uses-material, fails-after, unhandled. Failed: one in each of the seven others, and both in crashes as well.
    expect([status, last], printed).toEqual([1, '4 passed, 9 failed, 4 skipped'])
    for (const told of [
      /expected 1 to be 2/,
      /missing\.ts/,
      /no such luck/,
      /no server/,
      /left behind/,
      /nobody cares/,
      /Worker exited unexpectedly/,
      /crashes\.test\.ts ended before 2 of its tests did/,
    ])
      expect(printed).toMatch(told)
  })

  it('follows on a line for each kind of third-party material: what of it was there, and how many tests used it', () => {
    const { printed } = run('uses-material')
    expect(printed.trimEnd().split('\n').slice(-3)).toEqual([
      'found extra material in a folder (1 tests used it, 2 skipped)',
      'no more (0 tests used it, 1 skipped)',
      '1 passed, 0 failed, 2 skipped',
    ])
  })

  it('counts no failure when all pass, and one is the exit code when there is no test', () => {
    expect(run('passes')).toMatchObject({ status: 0, last: '1 passed, 0 failed, 1 skipped' })
    expect(run('nothing')).toMatchObject({ status: 1, last: '0 passed, 0 failed, 0 skipped' })
  })
})
