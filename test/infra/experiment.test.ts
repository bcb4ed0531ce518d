/** Parts of an experiment: its order, its statistics, what hops report, and the files it keeps. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { requestsTable, summaryTable } from '../../infra/experiment/experiment-tables.ts'
import { csvText } from '../../infra/terminal/csv.ts'
import { tableText } from '../../infra/terminal/table.ts'
import { hopsOf } from '../../infra/experiment/hops.ts'
import { parseExperiment, Results } from '../../infra/experiment/results.ts'
import { scheduleOf } from '../../infra/experiment/request-order.ts'
import { medianEstimate, summaryOf } from '../../infra/experiment/summary.ts'
import type { ExperimentRow } from '../../shared/contracts/experiment.ts'
import { generator } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { withFolder } from '../support/folder.ts'

const row = (query: string, repetition: number, latencyMs: number): ExperimentRow => ({
  model: 'net',
  query,
  repetition,
  startedMs: 0,
  latencyMs,
  predictedMs: 10,
  lowMs: 5,
  highMs: 15,
  inside: latencyMs >= 5 && latencyMs <= 15,
  plan: 'a.b.device.device_0-4',
  cuts: [],
  hops: [{ resource: 'device', layers: '0-4', computeMs: 1 }],
})

describe('the order', () => {
  it('has everything once in each repetition, mixed by the seed', () => {
    const asked = { repetitions: 20, order: 'interleaved' as const, seed: 3 }
    const turns = scheduleOf(4, asked)
    for (let round = 0; round < 20; round += 1) {
      const own = turns.slice(4 * round, 4 * round + 4)
      expect(own.map(({ at }) => at).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
      expect(new Set(own.map(({ repetition }) => repetition))).toEqual(new Set([round]))
    }
    expect(new Set(turns.filter((_, index) => index % 4 === 0).map(({ at }) => at)).size).toBe(4)
    expect(scheduleOf(4, asked)).toEqual(turns)
    expect(scheduleOf(4, { ...asked, seed: 4 })).not.toEqual(turns)
  })

  it('is that of the file if that is asked for', () => {
    expect(scheduleOf(2, { repetitions: 2, order: 'inOrder', seed: 1 }).map(({ at }) => at)).toEqual([
      0, 0, 1, 1,
    ])
  })
})

describe('the summary', () => {
  it('has intervals that hold the median of the source in about 95 % of cases', () => {
    const random = generator(7)
    const held = Array.from({ length: 200 }, (_, index) => {
      const { low, high } = medianEstimate(Array.from({ length: 25 }, random), index)
      return low !== undefined && low <= 0.5 && high !== undefined && high >= 0.5
    })
    expect(held.filter(Boolean).length).toBeGreaterThan(180)
  })

  it('has no interval of fewer requests than a median can have one of', () => {
    const rows = Array.from({ length: 5 }, (_, at) => [row('a', at, 10 + at), row('b', at, 20 + at)]).flat()
    const queries = ['a', 'b'].map((label) => ({ label, query: {} as never, deploy: 'best' }))
    const summary = summaryOf({ models: ['net'], queries, seed: 1 }, rows)
    expect(summary.map(({ latencyMs }) => latencyMs)).toEqual([{ median: 12 }, { median: 22 }])
    expect(summary[1]?.ratio).toEqual({ median: 22 / 12, pairs: 5 })
    const csv = csvText(summaryTable(summary)).split('\r\n')
    expect(csv[1]).toMatch(/^net,a,5,12,,,10,/)
    expect(tableText(summaryTable(summary), 200)).toContain('too few')
  })

  it('compares the requests of one repetition with each other', () => {
    // The machine drifts: a comparison of medians would not see that b always takes twice as long.
    const rows = Array.from({ length: 9 }, (_, at) => [
      row('a', at, 10 * 2 ** at),
      row('b', at, 20 * 2 ** at),
    ])
    const queries = ['a', 'b', 'c'].map((label) => ({ label, query: {} as never, deploy: 'best' }))
    const summary = summaryOf({ models: ['net'], queries, seed: 1 }, rows.flat())
    expect(summary.map(({ query, requests }) => [query, requests])).toEqual([
      ['a', 9],
      ['b', 9],
    ])
    expect(summary[0]).not.toHaveProperty('ratio')
    expect(summary[1]!.ratio).toEqual({ median: 2, low: 2, high: 2, pairs: 9 })
    expect(csvText(summaryTable(summary)).split('\r\n')[2]).toMatch(/^net,b,9,320,[\d.]+,[\d.]+,10,0,2,2,2$/)
    expect(summary[0]).toMatchObject({ latencyMs: { median: 160 }, inside: 1 / 9, predictedMs: 10 })
  })
})

it('a request that a stand-in answered says so', () => {
  const parameters = {
    scission_hops: 2,
    scission_hop0_resource: 'device',
    scission_hop1_resource: 'spare',
    scission_hop1_insteadOf: 'edge',
  }
  const hops = hopsOf(parameters, new Map())
  expect(hops).toEqual([{ resource: 'device' }, { resource: 'spare', insteadOf: 'edge' }])
  const { heads, rows } = requestsTable([{ ...row('a', 0, 1), hops }])
  expect(rows[0]?.[heads.findIndex(({ name }) => name === 'instead of 1')]).toBe('edge')
})

it('hops have the time that the way took, without what the next one says of itself', () => {
  const parameters = {
    scission_hops: 3,
    scission_hop0_resource: 'device',
    scission_hop0_layers: '0-1',
    scission_hop0_computeMs: 4,
    scission_hop0_nextMs: 20,
    scission_hop1_resource: 'edge',
    scission_hop1_computeMs: 3,
    scission_hop1_queueMs: 1,
    scission_hop1_nextMs: 9,
    scission_hop2_resource: 'cloud',
    scission_hop2_computeMs: 2,
    scission_hop2_decodeMs: 1,
  }
  expect(hopsOf(parameters, new Map([['edge', 0.5]]))).toEqual([
    { resource: 'device', layers: '0-1', computeMs: 4, transferMs: 7 },
    { resource: 'edge', computeMs: 3, queueMs: 1, transferMs: 6, otherCores: 0.5 },
    { resource: 'cloud', computeMs: 2 },
  ])
  expect(hopsOf({}, new Map())).toEqual([])
})

describe('a file of an experiment', () => {
  const good = { models: ['net'], queries: [{ label: 'a' }], repetitions: 2, output: 'out' }

  it('has defaults', () => {
    expect(parseExperiment('e.json', good)).toMatchObject({
      queries: [{ label: 'a', deploy: 'best' }],
      warmUp: 2,
      pauseMs: 0,
      seed: 1,
      order: 'interleaved',
    })
  })

  it.each([
    [{ ...good, repetitions: 0 }, /^e\.json: repetitions: /],
    [{ ...good, models: [] }, /^e\.json: models: /],
    [
      { ...good, queries: [{ label: 'a' }, { label: 'a' }] },
      /^e\.json: queries: every query must have a label/,
    ],
    [
      { ...good, queries: [{ label: 'a', deploy: 'worst' }] },
      /^e\.json: queries\[0\]\.deploy: must be best, native:/,
    ],
    [{ ...good, queries: [{ label: 'a', query: { top: 0 } }] }, /^e\.json: queries\[0\]\.query\.top: /],
    [{ ...good, pause: 1 }, /pause/],
    [{ ...good, models: ['net', 'net'] }, /^e\.json: models: .*once/],
    [{ ...good, repetitions: 50_001, models: ['net', 'other'] }, /^e\.json: repetitions: .*100000 requests/],
    [[], /^e\.json: /],
  ])('is refused with the field that is wrong: %j', (content, reason) => {
    expect(() => parseExperiment('e.json', content)).toThrow(reason)
  })
})

describe('the folder of an experiment', () => {
  const folder = withFolder('experiment')
  const described = (output: string) =>
    parseExperiment('e.json', { models: ['net'], queries: [{ label: 'a' }], repetitions: 3, output })
  const header = (output: string) => ({
    experiment: described(output),
    complete: false,
    startedAt: '2020-01-01T00:00:00.000Z',
    plans: [{ model: 'net', query: 'a', plan: 'p' }],
  })

  const begun = async (output: string) => {
    const results = await Results.open(described(output), false)
    await results.describe(header(output))
    results.close()
  }

  it('keeps each row at once, and goes on after a line that was cut off', async () => {
    const output = path.join(folder(), 'cut')
    const first = await Results.open(described(output), false)
    await first.describe(header(output))
    await first.add(row('a', 0, 1.25))
    first.close()
    appendFileSync(path.join(output, 'rows.jsonl'), '{"model":"net","query":"a","repet')
    const second = await Results.open(described(output), true)
    expect([second.has('net', 'a', 0), second.has('net', 'a', 1)]).toEqual([true, false])
    expect(second.earlier?.plans).toEqual([{ model: 'net', query: 'a', plan: 'p' }])
    await second.add(row('a', 1, 2))
    await second.finish(described(output))
    const [head, ...lines] = readFileSync(path.join(output, 'rows.csv'), 'utf8').trimEnd().split('\r\n')
    expect(head).toMatch(
      /^model,query,repetition,started \(ms\),latency \(ms\),.*hop 0,layers 0,compute 0 \(ms\)/,
    )
    expect(lines.map((line) => line.split(',').slice(0, 5))).toEqual([
      ['net', 'a', '0', '0', '1.25'],
      ['net', 'a', '1', '0', '2'],
    ])
    expect(JSON.parse(readFileSync(path.join(output, 'rows.json'), 'utf8'))).toHaveLength(2)
    expect(readFileSync(path.join(output, 'summary.csv'), 'utf8')).toContain('net,a,2,1.625')
  })

  it('has a table of all requests, however many there are', () => {
    const rows = Array.from({ length: 200_000 }, (_, at) => row('a', at, at))
    expect(requestsTable(rows).rows).toHaveLength(rows.length)
  })

  it('is left alone if it has files of these names that no experiment wrote', async () => {
    const output = path.join(folder(), 'mine')
    mkdirSync(output)
    for (const name of ['rows.csv', 'notes.txt']) writeFileSync(path.join(output, name), 'mine')
    await expect(Results.open(described(output), false)).rejects.toThrow(
      /output: .*mine has rows\.csv.*another/,
    )
    await expect(Results.open(described(output), true)).rejects.toThrow(/rows\.csv/)
    expect(readFileSync(path.join(output, 'rows.csv'), 'utf8')).toBe('mine')
    expect(readdirSync(output).sort()).toEqual(['notes.txt', 'rows.csv'])
  })

  it('is written to by one that holds its lock, and by no other', async () => {
    const output = path.join(folder(), 'lost')
    const results = await Results.open(described(output), false)
    await expect(Results.open(described(output), true)).rejects.toThrow(/lost is in use by process \d+ on/)
    rmSync(path.join(output, 'experiment.lock'))
    const next = await Results.open(described(output), false)
    const lost = { code: 'conflict', message: expect.stringMatching(/lost is gone.*nothing more is written/) }
    await expect(results.describe(header(output))).rejects.toMatchObject(lost)
    await expect(results.add(row('a', 0, 1))).rejects.toMatchObject(lost)
    await expect(results.finish(described(output))).rejects.toMatchObject(lost)
    results.close()
    expect(readdirSync(output)).toEqual(['experiment.lock'])
    await next.describe(header(output))
    next.close()
  })

  it('that cannot be written is named with its field', async () => {
    const file = path.join(folder(), 'a-file')
    writeFileSync(file, '')
    // Where Linux shows its processes there are no folders of others.
    const noFolders = existsSync('/proc/self') ? ['/proc/nowhere/below'] : []
    for (const output of [file, path.join(file, 'below'), ...noFolders]) {
      const opened = Results.open(described(output), false)
      await expect(opened).rejects.toThrow(/^output: .*(a-file|nowhere).* cannot be written/)
      await expect(opened).rejects.toMatchObject({ code: 'badRequest' })
    }
  })

  it('is not resumed from rows that are damaged, which it leaves as they are', async () => {
    const output = path.join(folder(), 'damaged')
    await begun(output)
    const file = path.join(output, 'rows.jsonl')
    const text = `${JSON.stringify(row('a', 0, 1))}\n{"model":"net"}\n${JSON.stringify(row('a', 1, 1))}\n`
    writeFileSync(file, text)
    await expect(Results.open(described(output), true)).rejects.toThrow(/rows\.jsonl: line 2: /)
    expect(readFileSync(file, 'utf8')).toBe(text)
  })

  it('is never overwritten, nor resumed for another experiment', async () => {
    const output = path.join(folder(), 'taken')
    await begun(output)
    await expect(Results.open(described(output), false)).rejects.toThrow(/has results .* --resume goes on/)
    await expect(Results.open({ ...described(output), seed: 2 }, true)).rejects.toThrow(/described otherwise/)
  })
})
