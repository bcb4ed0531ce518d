/**
 * Models made from seeds, cut everywhere: how many ONNX Runtime runs, and whether Scission takes each of these and gives
 * the same in pieces. `--seed` and `--count` say which; `--keep` writes those with a fault into a folder.
 */
import { writeFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { checkMadeModels } from '../onnx/made/check-models.ts'
import { CLEAN_TOLERANCE, type Outcome, writeModel } from '../onnx/made/check-model.ts'
import { makeModel } from '../onnx/made/make-model.ts'
import { type Benchmark, type BenchOptions, type Figure, figure, type Result } from './bench.ts'

const DEFAULT_SEED = 1
const DEFAULT_COUNT = 2000
const PROCESSES = 2
const SAY_EVERY = 50

export const madeModels: Benchmark = {
  name: 'made-models',
  title: 'Made models: every allowed cut against the whole',
  run,
}

async function run(say: (text: string) => void, options: BenchOptions = {}): Promise<Result> {
  const { seed = DEFAULT_SEED, count = DEFAULT_COUNT, keep } = options
  let done = 0
  const onOutcome = (outcome: Outcome) => {
    done += 1
    if (done % SAY_EVERY === 0) say(`${done} of ${count} models`)
    for (const line of linesOf(outcome)) say(line)
    if (keep !== undefined && outcome.faults.length > 0) keepModel(keep, outcome)
  }
  const outcomes = await checkMadeModels({ seed, count, processes: PROCESSES, onOutcome })
  return { figures: figuresOf(outcomes), raw: outcomes }
}

const linesOf = ({ seed, faults, pieces }: Outcome): string[] =>
  faults.slice(0, 1).map(({ where, k, clean, why }) => {
    const at = k === undefined ? '' : ` ${k}${clean ? ', clean' : ''}`
    return `seed ${seed}, ${where}${at}: ${why} (${pieces.join(' ')})${faults.length > 1 ? ` and ${faults.length - 1} more` : ''}`
  })

function keepModel(folder: string, outcome: Outcome): void {
  const own = path.join(folder, `seed-${outcome.seed}`)
  mkdirSync(own, { recursive: true })
  writeModel(makeModel(outcome.seed), own)
  writeFileSync(path.join(own, 'outcome.json'), `${JSON.stringify(outcome, null, 1)}\n`)
}

function figuresOf(outcomes: readonly Outcome[]): Figure[] {
  const counted = outcomes.filter(({ setAside }) => setAside === undefined)
  const aside = (by: string) => outcomes.filter(({ setAside }) => setAside?.by === by).length
  const cuts = (which: keyof Outcome['cuts']) => counted.reduce((sum, one) => sum + one.cuts[which], 0)
  const withFault = (where: string) =>
    counted.filter(({ faults }) => faults.some((fault) => fault.where === where)).length
  const none = (name: string, value: number, unit = 'models') => figure(name, value, unit, 'lower', 0)
  return [
    figure('models made', outcomes.length, 'models', 'higher', null),
    figure('refused by ONNX Runtime', aside('refused'), 'models', 'lower', outcomes.length * 0.2),
    figure('differ with its optimisations', aside('unsteady'), 'models', 'lower', null),
    none('taken by ONNX Runtime, not by Scission', withFault('analysis')),
    none('whole differs from the file', withFault('whole')),
    none('a cut differs from the whole', withFault('cut')),
    none('all cuts at once differ', withFault('layers')),
    none('a process ended', withFault('crash')),
    figure('allowed cuts', cuts('allowed'), 'cuts', 'higher', null),
    figure('of these bit-identical', cuts('bitIdentical'), 'cuts', 'higher', null),
    figure('clean cuts', cuts('clean'), 'cuts', 'higher', null),
    figure(
      `of these not bit-identical (at most ${CLEAN_TOLERANCE} apart, or a fault)`,
      cuts('clean') - cuts('cleanBitIdentical'),
      'cuts',
      'lower',
      null,
    ),
    figure(
      'cuts that differ by ONNX Runtime’s optimisations, none clean',
      cuts('optimisedApart'),
      'cuts',
      'lower',
      null,
    ),
    figure(
      'whole differs by ONNX Runtime’s optimisations',
      counted.filter(({ optimisedApart }) => optimisedApart !== undefined).length,
      'models',
      'lower',
      null,
    ),
  ]
}
