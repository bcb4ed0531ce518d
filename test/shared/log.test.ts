/** What never reaches the log. */
import { expect, it } from 'vitest'
import { runNode } from '../support/command.ts'

it('the log leaves out what was given to a Redis command that failed', async () => {
  const script = `
    import { createLog } from './shared/platform/log.ts'
    const refused = () => Object.assign(new Error('WRONGPASS'), { command: { name: 'hello', args: ['AUTH', 'secret'] } })
    const log = createLog('test', 'info')
    log.info({ err: refused() }, 'one')
    log.info({ err: Object.assign(new Error('all'), { last: refused() }) }, 'inside')
    log.info({ err: new AggregateError([refused()], 'several') }, 'several')
  `
  const { code, stderr } = await runNode(['--import', 'tsx', '--input-type=module', '-e', script])
  expect(code, stderr).toBe(0)
  expect(stderr.match(/WRONGPASS/g)?.length).toBeGreaterThanOrEqual(3)
  expect(stderr).toContain('"name":"hello"')
  expect(stderr).not.toContain('secret')
})
