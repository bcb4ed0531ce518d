/** `scission plan` and `scission sweep` against a planner: every option reaches the query, and the tables show the answer. */
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { planQuery } from '../../infra/cli/commands/plan-options.ts'
import { axisOf } from '../../infra/cli/commands/sweep-command.ts'
import { PlanQuery } from '../../shared/contracts/plan.ts'
import { runNode, SCISSION } from '../support/command.ts'
import { usePlanner } from './harness.ts'

const { used } = usePlanner()

async function scission(...args: string[]) {
  const { code, stdout, stderr } = await runNode([SCISSION, '--planner-url', used.url, ...args])
  return { code, stdout: stripVTControlCharacters(stdout), stderr: stripVTControlCharacters(stderr) }
}

describe('the options of `scission plan`', () => {
  it('cover every field of a query', () => {
    const fields = Object.keys(PlanQuery.shape).filter(
      (field) => !['model', 'inputShapes', 'sensitivity'].includes(field),
    )
    const flag = (field: string) => field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    const renamed: Record<string, string> = {
      mustUseTiers: 'use',
      mustNotUseTiers: 'avoid',
      mustUseResources: 'useResources',
      mustNotUseResources: 'avoidResources',
      mustRunLayers: 'runLayers',
      mustNotRunLayers: 'keepLayersOff',
    }
    for (const field of fields) {
      const query = planQuery('m', { [renamed[field] ?? field]: 'given' })
      expect(query, flag(field)).toEqual({ model: 'm', [field]: 'given' })
    }
  })
})

describe('the addresses of the services', () => {
  it.each(['nonsense', '127.0.0.1:8082', 'redis://127.0.0.1:6379'])('are URLs, not %s', async (url) => {
    const { code, stderr } = await scission('--planner-url', url, 'resources')
    expect([code, stderr.trim()]).toEqual([
      2,
      `scission: --planner-url must look like http://host:8082, got: ${url}`,
    ])
  })
})

describe('an axis of `scission sweep`', () => {
  it('is a list or a range, of some links or resources', () => {
    expect(axisOf('rttMs=1,10')).toEqual({ vary: 'rttMs', values: [1, 10] })
    expect(axisOf('rttMs@device>edge,edge>cloud=0:4:3')).toEqual({
      vary: 'rttMs',
      links: [
        { from: 'device', to: 'edge' },
        { from: 'edge', to: 'cloud' },
      ],
      values: [0, 2, 4],
    })
    const axis = axisOf('slowdown@edge=1:100:3')
    expect(axis).toMatchObject({ vary: 'slowdown', resources: ['edge'] })
    expect(axis.values.map((value) => Math.round(Number(value)))).toEqual([1, 10, 100])
    expect(axisOf('network=3g,4g')).toEqual({ vary: 'network', values: ['3g', '4g'] })
    for (const wrong of [
      'weather=1',
      'rttMs=5:1:3',
      'rttMs=1:5',
      'rttMs=1:5:1',
      'rttMs',
      'rttMs=',
      'rttMs=1,x',
    ])
      expect(() => axisOf(wrong)).toThrow(/--vary/)
  })
})

describe('in a shell', () => {
  it('plans come with intervals, native baselines, energy where watts are given, and notes', async () => {
    const asked =
      'plan chain --top 2 --use device,cloud --busy-watts device:4,cloud:100 --slowdowns edge:2 --sensitivity'
    const { code, stdout } = await scission(...asked.split(' '))
    expect(code).toBe(0)
    expect(stdout).toMatch(/plan \(layers\) +predicted +95 % within +compute +transfer +sent +energy/)
    expect(stdout).toMatch(/1 +device \[0,\d\) → cloud \[\d,4\)/)
    expect(stdout).toMatch(/native baselines[^]*all on device[^]*all on edge[^]*all on cloud/)
    expect(stdout).toMatch(/what-if: edge 2x slower/)
    expect(stdout).toMatch(/another plan takes over when[^]*round trip of device → cloud/)
    expect(stdout).toMatch(/scission deploy a{64}\./)
  })

  it('the graph view, maps and refusals are printed too', async () => {
    const graph = await scission('plan', 'chain', '--view', 'graph', '--min-stages', '2')
    expect(graph.stdout).toMatch(/plan \(layers\) +predicted +95 % within/)
    expect(graph.stdout).toMatch(/1 +\w+ \[0,\d\) → /)
    expect(graph.stdout).toMatch(
      /with --min-stages 2, .* → cloud \[\d,4\) wins: .* ms against .* on device alone/,
    )
    expect(graph.stdout).toMatch(/native baselines[^]*all on device[^]*all on cloud/)
    expect(graph.stdout).toMatch(/scission deploy a{64}\./)
    const map = await scission(
      'sweep',
      'chain',
      '--vary',
      'rttMs=0,1000',
      '--vary',
      'bandwidthMbps=0.01:100:12',
    )
    expect(map.stdout).toMatch(/^ +0 {2}[A-Z.]{12}$/m)
    expect(map.stdout).toMatch(/^ +1000 {2}[A-Z.]{12}$/m)
    expect(map.stdout).toMatch(/all on device/)
    const infeasible = await scission('plan', 'chain', '--max-latency-ms', '0.001')
    expect([infeasible.code, infeasible.stderr]).toEqual([4, expect.stringMatching(/at least 6\.04/)])
  })
})
