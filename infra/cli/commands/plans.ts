/** `scission bench`, `plan`, `deploy`, `deployments`, `resources`, `links`, `profiles`, `import`. */
import { type Command, Option } from 'commander'
import { OPTIMISATION_LEVELS } from '../../../shared/contracts/resource.ts'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'
import { runBenchmark } from '../../steps/run-benchmark.ts'
import { deployAndWait } from '../../steps/deploy-plan.ts'
import { createProgress } from '../../terminal/progress.ts'
import { renderTable } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { readJson } from '../files.ts'
import { nonNegative, wholeNumberFrom } from '../numbers.ts'
import { baselinesText, besideText, plansText } from '../plan-tables.ts'
import { deploymentsTable, linksTable, profilesTable } from '../tables.ts'
import { addPlanOptions, type GivenOptions, planQuery } from './plan-options.ts'

interface BenchOptions {
  resources?: string
  runs?: number
  threads?: number
  optimisation?: (typeof OPTIMISATION_LEVELS)[number]
  maxAge?: number
  force: boolean
  shapes?: string
}

export function addBenchCommand(program: Command, context: () => Context): void {
  program
    .command('bench <model>')
    .description('measure a model layer by layer on every resource')
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
    .option('--shapes <shapes>', 'input:1x3x224x224,other:1x16')
    .action(async (model: string, options: BenchOptions) => {
      const { benchmark, print } = context()
      const { runs, threads, optimisation, maxAge, force } = options
      const chosen = {
        ...(threads !== undefined && { threads }),
        ...(optimisation !== undefined && { optimisation }),
      }
      const request = {
        model,
        force,
        ...(runs !== undefined && { runs }),
        ...(Object.keys(chosen).length > 0 && { options: chosen }),
        ...(maxAge !== undefined && { maxAgeMs: 1000 * maxAge }),
        ...(options.resources !== undefined && { resources: options.resources.split(',') }),
        ...(options.shapes !== undefined && { inputShapes: parseInputShapes(options.shapes) }),
      }
      const done = await runBenchmark(benchmark, request, createProgress())
      const ids = done.parts.flatMap((part) => (part.profile === undefined ? [] : [part.profile]))
      const profiles = await Promise.all(ids.map((id) => benchmark.profile(id)))
      print({ benchmark: done, profiles }, () => [profilesTable(profiles), ...done.notes].join('\n'))
    })
}

export function addPlanCommands(program: Command, context: () => Context): void {
  addPlanOptions(
    program
      .command('plan <model>')
      .description('the best plans, with the native baselines beside them')
      .option('--sensitivity', 'also say at which bandwidth, round trip or slowdown another plan takes over'),
  ).action(async (model: string, options: GivenOptions) => {
    const { planner, print } = context()
    const query = { ...planQuery(model, options), ...(options.sensitivity === true && { sensitivity: true }) }
    const answer = await (query.view === 'graph' ? planner.graphPlans(query) : planner.plans(query))
    print(answer, () => {
      const beside = besideText(answer)
      const id = answer.plans[0]?.id
      const deploy = id === undefined ? [] : [`deploy the first: scission deploy ${id}`]
      return [plansText(answer), baselinesText(answer), ...(beside ? [beside] : []), ...deploy].join('\n')
    })
  })
  program
    .command('deploy <plan>')
    .description('make a plan live; waits until it is')
    .option('--name <name>', 'the model name it is served under')
    .action(async (plan: string, options: { name?: string }) => {
      const { planner, print } = context()
      const deployment = await deployAndWait(planner, { plan, name: options.name })
      print(deployment, () => deploymentsTable([deployment]))
    })
  program
    .command('undeploy <deployment>')
    .description('take a deployment out of service')
    .action(async (id: string) => {
      const { planner, print } = context()
      await planner.undeploy(id)
      print({ deleted: id }, () => `deleted ${id}`)
    })
}

export function addListCommands(program: Command, context: () => Context): void {
  program
    .command('deployments')
    .description('what is live')
    .action(async () => {
      const { planner, print } = context()
      const list = await planner.deployments()
      print(list, () => deploymentsTable(list))
    })
  program
    .command('resources')
    .description('machines that registered')
    .action(async () => {
      const { planner, print } = context()
      const list = await planner.resources()
      const rows = list.map((item) => [
        item.name,
        item.tier,
        item.alive ? 'alive' : 'lost',
        item.url,
        `${item.slowdown}x`,
        item.machine.cpuModel,
      ])
      print(list, () => renderTable(['resource', 'tier', 'state', 'address', 'slowdown', 'machine'], rows))
    })
  program
    .command('links')
    .description('links between resources')
    .action(async () => {
      const { planner, print } = context()
      const list = await planner.links()
      print(list, () => linksTable(list))
    })
  program
    .command('profiles')
    .description('measured profiles')
    .option('--model <model>', 'only of this model')
    .action(async (options: { model?: string }) => {
      const { benchmark, print } = context()
      const list = await benchmark.profiles(options.model === undefined ? {} : { model: options.model })
      print(list, () => profilesTable(list))
    })
  program
    .command('import <file>')
    .description('profiles measured elsewhere, as `profiles --json` prints them, or the original Scission’s')
    .action(async (file: string) => {
      const { benchmark, print } = context()
      const stored = await benchmark.importProfiles(await readJson('import', file))
      print(stored, () => `stored ${(stored.items ?? stored.profiles ?? []).length} profiles`)
    })
}
