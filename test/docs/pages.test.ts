/** Every page, run as a reader would paste it, against one system as `npm start` brings it up. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { blocksOf } from '../support/markdown.ts'
import { checkBlocks, runPage, scriptOf } from '../support/pages.ts'
import { withStartedSystem } from '../support/started-system.ts'
import { PAGES_THAT_RUN } from './pages-that-run.ts'

/** Everything a reader may come upon, but for the log of results. */
const PAGES = [
  'README.md',
  ...['docs', 'examples'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => path.posix.join(folder, name.split(path.sep).join('/'))),
  ),
]
/** The pages about the code, which others link to as well. */
const LANGUAGES = ['sh', 'json', 'yaml', 'text', 'ts', '']

describe.each(PAGES)('%s', (page) => {
  it('has only blocks of known kinds, and a true reason for each that is not run', () => {
    const kinds = blocksOf(page).map(({ language }) => language)
    expect(kinds.filter((language) => !LANGUAGES.includes(language))).toEqual([])
    checkBlocks(page)
  })

  it('has only links that lead somewhere', () => {
    const text = readFileSync(page, 'utf8').replaceAll(/```[\s\S]*?```/g, '')
    const links = [...text.matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)].map((match) => match[1]!)
    const local = links.filter((link) => !/^https?:/.test(link))
    const targets = local.map((link) => path.posix.join(path.posix.dirname(page), link))
    expect(targets.filter((target) => !existsSync(target))).toEqual([])
  })
})

describe('the commands of', () => {
  const started = withStartedSystem()

  const running = PAGES.filter((page) => !page.startsWith('examples/') && scriptOf(page) !== '')
  it('all pages that have any are known', () => {
    expect(running.sort()).toEqual(Object.keys(PAGES_THAT_RUN).sort())
  })

  it.each(Object.entries(PAGES_THAT_RUN))('%s work', async (page, expectPrinted) => {
    await started.haveModelMeasured()
    const folder = path.join(started.folder, path.basename(page))
    const { code, stdout, stderr } = await runPage(page, folder, started.system)
    expect(code, `${stdout}\n${stderr}`).toBe(0)
    expectPrinted(stdout)
  })
})
