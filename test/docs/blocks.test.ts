/** No page leaves a command untested: the marks of its blocks are checked. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { checkBlocks, scriptOf } from '../support/pages.ts'
import { withFolder } from '../support/folder.ts'
import { linkTools, missingTools } from '../support/shell-tools.ts'

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

describe('the tools of a page', () => {
  const commands = 'npx scission links --csv | head -n 2\ncurl -sf http://127.0.0.1 | grep -o headers.txt'

  it('that the PATH does not have are told', () => {
    const bin = path.join(folder(), 'bin')
    mkdirSync(bin)
    for (const tool of ['bash', 'head']) writeFileSync(path.join(bin, tool), '', { mode: 0o755 })
    expect(missingTools(commands, bin)).toEqual(['curl', 'grep'])
    expect(missingTools('npx scission links', bin)).toEqual([])
    expect(missingTools('npx scission links', folder())).toEqual(['bash'])
    expect(missingTools('', folder())).toEqual([])
  })

  it('that this machine has are what a page finds, and no others', () => {
    const bin = path.join(folder(), 'linked')
    mkdirSync(bin)
    linkTools(bin)
    expect(missingTools(commands, bin)).toEqual(missingTools(commands))
    expect(findOnPath('ls', bin)).toBeUndefined()
  })
})
