/**
 * `npm start` as a user meets it, several times on the machine as it is and several with its cores kept busy: how many
 * measured values lie within their intervals, how many self-checks pass, and what the last line says.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Report } from '../../infra/demo/report.ts'
import { type Benchmark, type BenchOptions, type Figure, figure, type Result } from './bench.ts'
import { keepBusy } from './conditions.ts'

const RUNS = 10
const BUSY_CORES = 1

interface Started {
  condition: string
  lastLine: string
  report: Report
}

export const start: Benchmark = {
  name: 'start',
  title: 'What npm start predicts and measures, on a quiet and on a busy machine',
  run,
}

async function run(say: (text: string) => void, { count = RUNS }: BenchOptions = {}): Promise<Result> {
  const all: Started[] = []
  for (const [condition, cores] of [
    ['quiet', 0],
    ['one core busy', BUSY_CORES],
  ] as const)
    for (let at = 0; at < count; at++) {
      const stop = keepBusy(cores)
      const started = await startOnce(condition).finally(stop)
      all.push(started)
      say(lineOf(started))
    }
  const figures = ['quiet', 'one core busy'].flatMap((condition) =>
    figuresOf(
      condition,
      all.filter((one) => one.condition === condition),
    ),
  )
  return { figures, raw: all.map(({ report, ...one }) => ({ ...one, report: briefly(report) })) }
}

async function startOnce(condition: string): Promise<Started> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const file = path.join(folder, 'report.json')
  const args = ['start', '--', '--once', '--port-base', '0', '--report', file]
  try {
    // Each run is the first one: with what earlier runs left, profiles would not be measured again.
    const env = { ...process.env, SCISSION_DATA: path.join(folder, 'data') }
    const child = spawn('npm', args, { stdio: ['ignore', 'pipe', 'pipe'], env })
    let output = ''
    child.stdout.on('data', (text: Buffer) => (output += text.toString()))
    child.stderr.on('data', (text: Buffer) => (output += text.toString()))
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    if (code !== 0) throw new Error(`npm start ended with ${code}: ${output.slice(-2000)}`)
    const lines = stripVTControlCharacters(output).trim().split('\n')
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report
    return { condition, lastLine: lines.at(-1) ?? '', report }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const briefly = ({ profiles, plans, raw, predictions }: Report) => ({
  predictions,
  paces: plans.paces,
  profiles: profiles.map(({ resource, whole, predictionError, load }) => ({
    resource,
    whole,
    predictionError,
    load,
  })),
  served: raw.served.map(({ plan, measuredMs, samplesMs, held }) => ({
    id: plan.id,
    predictedMs: plan.predictedMs,
    interval: plan.interval,
    measuredMs,
    samplesMs,
    held,
  })),
})

function figuresOf(condition: string, runs: readonly Started[]): Figure[] {
  const served = runs.flatMap(({ report }) => report.raw.served)
  const requests = served.flatMap(({ samplesMs }) => samplesMs).length
  const inside = served.reduce((sum, one) => sum + one.inside, 0)
  const profiles = runs.flatMap(({ report }) => report.profiles)
  const passed = profiles.filter(({ predictionError }) => predictionError?.ok !== false).length
  const percent = (part: number, of: number) => (100 * part) / of
  const held = served.filter((one) => one.held).length
  const splitWins = runs.filter(({ report: { raw } }) => {
    const alone = raw.served.filter(({ plan }) => plan.native).map(({ measuredMs }) => measuredMs)
    const split = raw.served.filter(({ plan }) => !plan.native).map(({ measuredMs }) => measuredMs)
    return Math.min(...split) < Math.min(...alone)
  }).length
  return [
    figure(
      `${condition}: measured medians within their interval`,
      percent(held, served.length),
      '%',
      'higher',
      90,
    ),
    figure(`${condition}: requests within their interval`, percent(inside, requests), '%', 'higher', 90),
    figure(`${condition}: self-checks passed`, percent(passed, profiles.length), '%', 'higher', 95),
    figure(
      `${condition}: runs in which the split won, measured`,
      splitWins,
      `of ${runs.length}`,
      'higher',
      null,
    ),
    figure(
      `${condition}: runs that end with "every step worked"`,
      runs.filter(({ lastLine }) => lastLine.startsWith('every step worked')).length,
      `of ${runs.length}`,
      'higher',
      null,
    ),
  ]
}

function lineOf({ condition, lastLine, report: { raw, profiles } }: Started): string {
  const served = raw.served.map(
    ({ predictedMs, measuredMs, held }) =>
      `${predictedMs.toFixed(0)}/${measuredMs.toFixed(0)}${held ? '' : ' OUTSIDE'}`,
  )
  const checks = profiles.map(({ predictionError }) => (predictionError?.ok === false ? 'FAILED' : 'ok'))
  return `${condition}: predicted/measured ms ${served.join(', ')}; checks ${checks.join(' ')}; ${lastLine.slice(0, 80)}`
}
