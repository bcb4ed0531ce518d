/**
 * Damaged input of every kind that comes from outside, against the laws of test/fuzz: no crash, no hang, no memory beyond its
 * bound, no answer that blames the service but 503 (and 501 for what is not built). `--seed`, `--count` and `--target` say which
 * inputs; `--replay BASE64` runs one as it was printed.
 */
import { replay, told } from '../fuzz/run.ts'
import { type Fuzzed, runMany } from '../fuzz/many.ts'
import type { Target } from '../fuzz/target.ts'
import { TARGETS } from '../fuzz/targets.ts'
import { type Benchmark, type BenchOptions, type Figure, figure, type Result } from './bench.ts'

const DEFAULT_SEED = 1
const DEFAULT_COUNT = 100_000
const MB = 2 ** 20

export const fuzz: Benchmark = { name: 'fuzz', title: 'Damaged input of every kind', run }

async function run(say: (text: string) => void, options: BenchOptions = {}): Promise<Result> {
  const { seed = DEFAULT_SEED, count = DEFAULT_COUNT, target: name, replay: base64 } = options
  const targets = TARGETS.filter((target) => name === undefined || target.name === name)
  const [first] = targets
  if (!first)
    throw new Error(`--target: there is no "${name}"; there are ${TARGETS.map((one) => one.name).join(', ')}`)
  if (base64 !== undefined) return replayed(say, first, base64)
  const shares = targets.reduce((sum, target) => sum + target.share, 0)
  const all: Fuzzed[] = []
  for (const target of targets) {
    const fuzzed = await runMany(target, seed, Math.ceil((count * target.share) / shares))
    for (const one of fuzzed.broken) say(one)
    say(
      `${fuzzed.target}: ${fuzzed.inputs} inputs in ${(fuzzed.tookMs / 1000).toFixed(1)} s, ${fuzzed.broken.length} broke the law`,
    )
    all.push(fuzzed)
  }
  return { figures: figuresOf(all), raw: all }
}

async function replayed(say: (text: string) => void, target: Target, base64: string): Promise<Result> {
  const broken = await replay(target, base64)
  say(broken ? told(broken) : 'it keeps the law')
  return {
    figures: [figure(`${target.name}: broke the law`, broken ? 1 : 0, 'inputs', 'lower', 0)],
    raw: broken,
  }
}

function figuresOf(all: readonly Fuzzed[]): Figure[] {
  const inputs = all.reduce((sum, one) => sum + one.inputs, 0)
  const broken = all.reduce((sum, one) => sum + one.broken.length, 0)
  return [
    figure('inputs', inputs, 'inputs', 'higher', null),
    figure('broke the law', broken, 'inputs', 'lower', 0),
    ...all.flatMap(({ target, inputs: own, tookMs, slowestMs, grownBytes }) => [
      figure(`${target}: inputs`, own, 'inputs', 'higher', null),
      figure(`${target}: time`, tookMs / 1000, 's', 'lower', null),
      figure(`${target}: slowest input`, slowestMs, 'ms', 'lower', null),
      figure(`${target}: memory grown`, grownBytes / MB, 'MB', 'lower', null),
    ]),
  ]
}
