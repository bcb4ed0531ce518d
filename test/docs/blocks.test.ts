/** No page leaves a command untested: the marks of its blocks are checked. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkBlocks, scriptOf } from '../support/pages.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('blocks')

/** @returns the path of a page of one block. */
function pageWith(info: string, ...lines: string[]): string {
  const page = path.join(folder(), 'page.md')
  writeFileSync(page, ['# Page', '', `\`\`\`${info}`, ...lines, '```', ''].join('\n'))
  return page
}

describe('the blocks of a page', () => {
  it('that are marked rightly are run, or not', () => {
    const run = pageWith('sh', 'echo a')
    checkBlocks(run)
    expect(scriptOf(run)).toBe('echo a\n')
    const not = pageWith('sh not run: starts containers', '# both', 'docker compose up \\', '  --build')
    checkBlocks(not)
    expect(scriptOf(not)).toBe('')
  })

  it.each([
    ['sh not run: it is slow', 'echo a', /is no reason not to run/],
    ['sh not run: starts containers', 'curl -s http://127.0.0.1:8081', /could be run/],
    ['sh not run: stays up until Ctrl-C', 'npm start -- --once', /could be run/],
    ['sh needs: a miracle', 'echo a', /how to find a miracle/],
    ['sh maybe', 'echo a', /must read/],
  ])('that are marked "%s" are refused if that is not so', (info, command, message) => {
    const page = pageWith(info, command)
    expect(() => checkBlocks(page)).toThrow(message)
  })

  it('that are never closed are refused', () => {
    const page = path.join(folder(), 'page.md')
    writeFileSync(page, '```sh\necho a\n')
    expect(() => checkBlocks(page)).toThrow(/never closed/)
  })
})
