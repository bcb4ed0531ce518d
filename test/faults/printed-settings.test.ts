/** Passwords in addresses are in no listing of the settings, whatever the address looks like. */
import { expect, it } from 'vitest'
import { runNode, SCISSION } from '../support/command.ts'

it.each([
  ['an address', 'redis://:s3cr3t@127.0.0.1:6379/0', []],
  ['a user with it', 'redis://user:s3cr3t@127.0.0.1:6379', ['--json']],
  ['one colon too few', 'redis//:s3cr3t@127.0.0.1', []],
  ['no scheme', ':s3cr3t@127.0.0.1:6379', ['--json']],
  ['a port that is none', 'redis://:s3cr3t@127.0.0.1:port', ['--csv']],
  ['a slash in the password', 'redis://:s3cr3t/s3cr3t@127.0.0.1', []],
])('`scission config` hides the password of REDIS_URL: %s', async (_what, REDIS_URL, format) => {
  const env = { ...process.env, NO_COLOR: '1', REDIS_URL }
  const { code, stdout, stderr } = await runNode([SCISSION, 'config', ...format], { env })
  expect([0, 2]).toContain(code)
  expect(stdout + stderr).toContain('REDIS_URL')
  expect(stdout + stderr).not.toContain('s3cr3t')
})
