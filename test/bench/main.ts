/**
 * `npm run bench -- NAME [--json [FILE]] [--record]`: runs one benchmark, prints each figure beside the floor asked for
 * and its baseline. `--json` writes `{machine, figures, raw}` to the file, or prints it instead of the figures;
 * `--record` appends the figures to docs/results.md.
 */
import { appendFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { renderTable } from '../../infra/terminal/table.ts'
import { type Benchmark, type Figure, machine, type Result } from './bench.ts'
import { attack } from './attack.ts'
import { codecs } from './codecs.ts'
import { codecsTable } from './codecs-table.ts'
import { fuzz } from './fuzz.ts'
import { links } from './links.ts'
import { madeModels } from './made-models.ts'
import { memory } from './memory.ts'
import { models } from './models.ts'
import { onnx } from './onnx.ts'
import { planner } from './planner.ts'
import { predictions } from './predictions.ts'
import { processHop } from './process-hop.ts'
import { profile } from './profile.ts'
import { profileCost } from './profile-cost.ts'
import { responsive } from './responsive.ts'
import { serve } from './serve.ts'
import { start } from './start.ts'
import { whileLoading } from './while-loading.ts'
import { whileServing } from './while-serving.ts'

const BENCHMARKS: Benchmark[] = [
  onnx,
  responsive,
  links,
  serve,
  predictions,
  profile,
  profileCost,
  start,
  planner,
  codecs,
  codecsTable,
  memory,
  whileServing,
  whileLoading,
  attack,
  processHop,
  models,
  madeModels,
  fuzz,
]

const number = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3))

function rowOf(figure: Figure): string[] {
  const floor =
    figure.floor === null ? '' : `${figure.better === 'lower' ? '≤' : '≥'} ${number(figure.floor)}`
  const baseline = figure.baseline ? `${number(figure.baseline.value)} (${figure.baseline.name})` : ''
  const verdict = figure.ok === null ? '' : figure.ok ? 'ok' : 'MISSED'
  return [figure.name, number(figure.value), figure.unit, floor, verdict, baseline]
}

const HEAD = ['figure', 'value', 'unit', 'floor', '', 'baseline']

function record(benchmark: Benchmark, result: Result, about: Record<string, unknown>): void {
  const rows = result.figures.map((figure) => `| ${rowOf(figure).join(' | ')} |`)
  const date = new Date().toISOString().slice(0, 10)
  const lines = [
    `\n## ${benchmark.title} (${date})`,
    `\`npm run bench -- ${benchmark.name}\` on ${String(about.cpuModel)}, ${String(about.cores)} cores, Node ${String(about.node)}\n`,
    `| ${HEAD.join(' | ')} |`,
    `|${HEAD.map(() => '---').join('|')}|`,
    ...rows,
    '',
  ]
  appendFileSync('docs/results.md', lines.join('\n'))
}

/** `--json` without a file: to the standard output. */
const STDOUT = '-'
const args = process.argv
  .slice(2)
  .map((arg, index, all) =>
    arg === '--json' && /^(-|$)/.test(all[index + 1] ?? '') ? `--json=${STDOUT}` : arg,
  )
const { values, positionals } = parseArgs({
  args,
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    record: { type: 'boolean', default: false },
    models: { type: 'string' },
    cuts: { type: 'string' },
    conditions: { type: 'string' },
    seed: { type: 'string' },
    count: { type: 'string' },
    keep: { type: 'string' },
    target: { type: 'string' },
    replay: { type: 'string' },
    'quiet-only': { type: 'boolean', default: false },
  },
})
const benchmark = BENCHMARKS.find((candidate) => candidate.name === positionals[0])
if (!benchmark) {
  console.error(
    `usage: npm run bench -- NAME [--json [FILE]] [--record]\n${BENCHMARKS.map((one) => `  ${one.name}: ${one.title}`).join('\n')}`,
  )
  process.exit(2)
}
const about = machine()
const whole = (text: string | undefined) => (text === undefined ? undefined : Number(text))
const result = await benchmark.run((text) => console.error(text), {
  ...values,
  seed: whole(values.seed),
  count: whole(values.count),
  busy: !values['quiet-only'],
})
const json = `${JSON.stringify({ machine: about, ...result }, null, 1)}\n`
if (values.json === STDOUT) await new Promise((written) => process.stdout.write(json, written))
else console.log(renderTable(HEAD, result.figures.map(rowOf)))
if (values.json !== undefined && values.json !== STDOUT) writeFileSync(values.json, json)
if (values.record) record(benchmark, result, about)
process.exit(0)
