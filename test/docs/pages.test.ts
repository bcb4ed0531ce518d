/** Every page, run as a reader would paste it, against one system as `npm start` brings it up. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { blocksOf } from '../support/markdown.ts'
import { checkBlocks, runPage, scriptOf, whyNotRun } from '../support/pages.ts'
import { withStartedSystem } from '../support/started-system.ts'
import { PAGES_THAT_RUN } from './pages-that-run.ts'

/** The pages whose commands are run. */
const PAGES = [
  'README.md',
  ...['docs', 'examples'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => path.posix.join(folder, name.split(path.sep).join('/'))),
  ),
]
/** Of the blocks: only those of `sh` are run. */
const LANGUAGES = ['sh', 'json', 'yaml', 'text', 'ts', '']

/** Text without blocks of code. */
const proseOf = (page: string) => readFileSync(page, 'utf8').replaceAll(/```[\s\S]*?```/g, '')

/** The anchors that GitHub makes of the headings of a page. */
const anchorsOf = (page: string) =>
  [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )

/** Links of a page to files, or to headings of pages, that do not exist. */
function deadLinksOf(page: string): string[] {
  const links = [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link)
  return links.filter((link) => {
    if (/^https?:/.test(link)) return false
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file)
    if (!existsSync(target)) return true
    return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).includes(anchor)
  })
}

describe.each(PAGES)('%s', (page) => {
  it('has only blocks of known kinds, and a true reason for each that is not run', () => {
    const kinds = blocksOf(page).map(({ language }) => language)
    expect(kinds.filter((language) => !LANGUAGES.includes(language))).toEqual([])
    checkBlocks(page)
  })

  it('has only links that lead somewhere', () => {
    expect(deadLinksOf(page)).toEqual([])
  })
})

it('the files about the project have only links that lead somewhere', () => {
  const files = ['CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'test/data/README.md']
  expect(files.flatMap(deadLinksOf)).toEqual([])
})

it('the pages that have commands are known', () => {
  const running = PAGES.filter((page) => !page.startsWith('examples/') && scriptOf(page) !== '')
  expect(running.sort()).toEqual(Object.keys(PAGES_THAT_RUN).sort())
})

describe('the commands of', () => {
  const started = withStartedSystem()

  for (const [page, expectPrinted] of Object.entries(PAGES_THAT_RUN))
    it.skipIf(whyNotRun(page) !== undefined)(`${page} work`, async () => {
      await started.haveModelMeasured()
      const folder = path.join(started.folder, path.basename(page))
      const { code, stdout, stderr } = await runPage(page, folder, started.system)
      expect(code, `${stdout}\n${stderr}`).toBe(0)
      expectPrinted(stdout)
    })
})
