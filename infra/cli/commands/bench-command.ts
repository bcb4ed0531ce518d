/** `scission bench`: measures a model on every resource. */
import { type Command, Option } from 'commander'
import { OPTIMISATION_LEVELS } from '../../../shared/contracts/resource.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { runBenchmark } from '../../steps/run-benchmark.ts'
import { createProgress } from '../../terminal/progress.ts'
import { tableText } from '../../terminal/table.ts'
import { csvOption, shapesOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { nonNegative, wholeNumberFrom } from '../numbers.ts'
import { namingOptions, type OptionHints } from '../option-errors.ts'
import { profilesTable } from '../tables.ts'

interface BenchOptions {
  resources?: string
  runs?: number
  threads?: number
  optimisation?: (typeof OPTIMISATION_LEVELS)[number]
  maxAge?: number
  force: boolean
  shapes?: InputShapes
}

const HINTS: OptionHints = {
  resources: { flag: '--resources', expected: 'names of resources', example: 'device,edge' },
  runs: { flag: '--runs', expected: 'a whole number from 3 to 10000', example: '20' },
  'options.threads': { flag: '--threads', expected: 'a whole number from 1 to 256', example: '2' },
  maxAgeMs: { flag: '--max-age', expected: 'seconds', example: '3600' },
}

export function defineBench(command: Command, context: Context): void {
  command
    .option('--resources <names>', 'only these, comma-separated')
    .option(
      '--runs <n>',
      'unprofiled runs (default: what fits into the time of about 20)',
      wholeNumberFrom(3),
    )
    .option('--threads <n>', 'of a session (default: as the resource runs)', wholeNumberFrom(1))
    .addOption(
      new Option('--optimisation <level>', 'of ONNX Runtime (default: as the resource runs)').choices(
        OPTIMISATION_LEVELS,
      ),
    )
    .option('--max-age <seconds>', 'reuse profiles that are younger (default: an hour; 0: none)', nonNegative)
    .option('--force', 'measure again, whatever profiles there are', false)
    .addOption(shapesOption())
    .addOption(csvOption())
    .action(async (model: string, options: BenchOptions) => {
      const { threads, optimisation, maxAge } = options
      const request = {
        model,
        force: options.force,
        runs: options.runs,
        options: threads === undefined && optimisation === undefined ? undefined : { threads, optimisation },
        maxAgeMs: maxAge === undefined ? undefined : 1000 * maxAge,
        resources: options.resources?.split(','),
        inputShapes: options.shapes,
      }
      const { benchmark } = context
      const done = await namingOptions(HINTS, () => runBenchmark(benchmark, request, createProgress()))
      const ids = done.parts.flatMap((part) => (part.profile === undefined ? [] : [part.profile]))
      const profiles = await Promise.all(ids.map((id) => benchmark.profile(id)))
      context.printTable(
        { benchmark: done, profiles },
        (found) => profilesTable(found.profiles),
        (found, table) => [tableText(table), ...found.benchmark.notes].join('\n'),
      )
    })
}
