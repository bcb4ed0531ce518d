/** Each example, by the command of its README: it runs, and prints what the README says it prints, figures aside. */
import { execFile } from 'node:child_process'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { blocksOf } from '../support/markdown.ts'
import { runPage, scriptOf, whyNotRun } from '../support/pages.ts'
import { findPython, noPython } from '../support/python.ts'
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

it('those in Python show the token that they are given', async ({ skip }) => {
  const python = findPython('sys') ?? skip(noPython('sys'))
  const shown: unknown[] = []
  const server = http.createServer((req, res) => {
    shown.push(req.headers.authorization)
    res.setHeader('Inference-Header-Content-Length', 2).end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const script = `from scission import call, post_tensors\ncall('${url}')\npost_tensors('${url}', {}, b'')`
    const run = (env: Record<string, string>) =>
      promisify(execFile)(python, ['-c', script], { env: { PYTHONPATH: 'examples/python', ...env } })
    await run({ SCISSION_TOKEN: 'scn_a_b' })
    await run({})
    expect(shown).toEqual(['Bearer scn_a_b', 'Bearer scn_a_b', undefined, undefined])
  } finally {
    server.close()
  }
})
