/** Each example, by the command of its README: it runs, and prints what the README says it prints, figures aside. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { blocksOf } from '../support/markdown.ts'
import { runPage, scriptOf, whyNotRun } from '../support/pages.ts'
import { withStartedSystem } from '../support/started-system.ts'

const EXAMPLES = ['curl', 'typescript', 'python', 'head-on-client']

/** A line without what differs from run to run: figures, and what they decide, such as the machine of the second stage. */
const shapeOf = (line: string) =>
  line
    .replaceAll(/-?\d[\d.,]*(e[+-]?\d+)?/g, '0')
    .replaceAll(/\b(edge|cloud)\b/g, 'machine')
    .trimEnd()

describe('examples', () => {
  const started = withStartedSystem()

  it.for(EXAMPLES)('%s', async (name, { skip }) => {
    const readme = `examples/${name}/README.md`
    if (scriptOf(readme) === '') skip('the machine lacks what it needs')
    const why = whyNotRun(readme)
    if (why !== undefined) skip(why)
    const { code, stdout, stderr } = await runPage(readme, path.join(started.folder, name), started.system)
    expect(code, `${stdout}\n${stderr}`).toBe(0)
    const printed = blocksOf(readme).find(({ language }) => language === 'text')?.text ?? ''
    expect(printed).not.toBe('')
    const lines = new Set(stdout.split('\n').map(shapeOf))
    for (const line of printed.split('\n')) expect(lines, stdout).toContain(shapeOf(line))
  })
})
