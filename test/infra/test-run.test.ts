/** The counts of `npm test`, on a folder of tests that fail in every possible way. */
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeArguments } from '../../infra/start/processes/entry.ts'
import { runNode } from '../support/command.ts'

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
async function run(...filter: string[]) {
  const script = nodeArguments(new URL('../../infra/test.ts', import.meta.url))
  // Not a part of the run that this test is in.
  const env = { ...process.env, VITEST: undefined, VITEST_WORKER_ID: undefined, VITEST_POOL_ID: undefined }
  const { code, signal, stdout, stderr } = await runNode([...script, ...filter], { cwd: folder, env })
  const lines = stdout.trimEnd().split('\n')
  return { code, lines, last: lines.at(-1), printed: `${stdout}${stderr}\nended with ${signal ?? code}` }
}

describe('the last line of npm test', () => {
  it('counts every way in which a file can fail, and what is printed before it says what it was', async () => {
    const { code, printed, last } = await run()
    // Passed: in passes, uses-material, fails-after, unhandled. Failed: one in each of the seven others, and both in crashes as well.
    expect([code, last], printed).toEqual([1, '4 passed, 9 failed, 4 skipped'])
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

  it('follows on a line for each kind of third-party material: what of it was there, and how many tests used it', async () => {
    const { lines, printed } = await run('uses-material')
    expect(lines.slice(-3), printed).toEqual([
      'found extra material in a folder (1 tests used it, 2 skipped)',
      'no more (0 tests used it, 1 skipped)',
      '1 passed, 0 failed, 2 skipped',
    ])
  })

  it('counts no failure when all pass, and one is the exit code when there is no test', async () => {
    const passes = await run('passes')
    expect(passes, passes.printed).toMatchObject({ code: 0, last: '1 passed, 0 failed, 1 skipped' })
    const nothing = await run('nothing')
    expect(nothing, nothing.printed).toMatchObject({ code: 1, last: '0 passed, 0 failed, 0 skipped' })
  })
})
