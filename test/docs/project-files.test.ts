/** The files about the project itself name commands, files and versions that exist. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

const read = (file: string) => readFileSync(file, 'utf8')
const { scripts, engines } = JSON.parse(read('package.json')) as {
  scripts: Record<string, string>
  engines: { node: string }
}
const workflows = readdirSync('.github/workflows').map((name) => path.join('.github/workflows', name))
const matches = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = '']) => found)

describe('the files about the project', () => {
  it.each(['CONTRIBUTING.md', 'README.md', 'SECURITY.md', '.github/pull_request_template.md', ...workflows])(
    '%s names scripts of package.json',
    (file) => {
      const named = matches(read(file), /\bnpm(?: run)?(?: --silent)? ([a-z:]+)/g)
      const ofNpm = ['ci', 'install', 'are', 'is', 'warns']
      expect(named.filter((name) => !ofNpm.includes(name) && !(name in scripts))).toEqual([])
    },
  )

  it('CONTRIBUTING.md names test files that exist', () => {
    const named = matches(read('CONTRIBUTING.md'), /\b(test\/[\w/.-]*\w)/g)
    expect(named.length).toBeGreaterThan(1)
    expect(named.filter((name) => !existsSync(name) && !existsSync(`${name}.test.ts`))).toEqual([])
  })

  it('the workflow tests on every supported line of Node, with and without Redis', () => {
    const { jobs } = parse(read('.github/workflows/ci.yml')) as {
      jobs: { test: { strategy: { matrix: { node: number[]; redis: boolean[] } } } }
    }
    const { node, redis } = jobs.test.strategy.matrix
    const oldest = Number(/\d+/.exec(engines.node)?.[0])
    expect([Math.min(...node), Number(read('.nvmrc'))]).toEqual([oldest, oldest])
    expect(node).toEqual([20, 22, 24])
    expect(new Set(redis)).toEqual(new Set([false, true]))
  })

  it('templates of issues have labelled fields', () => {
    const folder = '.github/ISSUE_TEMPLATE'
    const templates = readdirSync(folder).filter((name) => name !== 'config.yml')
    expect(templates).toEqual(['bug.yml', 'feature.yml'])
    for (const name of templates) {
      const { body } = parse(read(path.join(folder, name))) as { body: { attributes: { label: string } }[] }
      expect(body.every(({ attributes }) => attributes.label.length > 0)).toBe(true)
    }
  })
})
