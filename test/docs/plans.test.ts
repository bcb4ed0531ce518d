/** docs/plans.md, run as a user would paste it, against a planner with example data; and whether it names every field. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { PlanQuery } from '../../shared/contracts/plan.ts'
import { usePlanner } from '../planner/harness.ts'
import { shellScriptOf } from '../support/markdown.ts'

const { used } = usePlanner()
const PAGE = 'docs/plans.md'

describe('docs/plans.md', () => {
  it('holds commands that work', async () => {
    const script = shellScriptOf(PAGE)
      .replace('http://127.0.0.1:8082', used.listening.url)
      .replace('MODEL=mobilenetv2', 'MODEL=chain')
    expect(script).toContain(used.listening.url)
    const { stdout } = await promisify(execFile)('bash', ['-c', `set -eu\n${script}`], { maxBuffer: 1e8 })
    expect(stdout.match(/"objective":"latency"/g)?.length).toBeGreaterThanOrEqual(4)
    expect(stdout).toMatch(/^"energyJ":0\.\d/m)
    expect(stdout).toMatch(/"code":"infeasible".*maxLatencyMs at least/)
    expect(stdout).toMatch(/what-if: links from the first tier as the preset 3g.*edge 2x slower/)
    expect(stdout).toMatch(/"sensitivity":\[\{"what":/)
    expect(stdout).toMatch(/^"cells":\[(\d,){11}\d\]$/m)
    expect(stdout).toContain('"view":"graph"')
    expect(stdout).toMatch(/did you mean edge\?/)
  })

  it('names every field of a query', () => {
    const page = readFileSync(PAGE, 'utf8')
    const missing = Object.keys(PlanQuery.shape).filter((field) => !page.includes(`\`${field}\``))
    expect(missing).toEqual([])
  })
})
