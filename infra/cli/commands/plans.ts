/** `scission bench`, `plan`, `deploy`, `deployments`, `resources`, `links`, `profiles`, `import`. */
import { type Command, Option } from 'commander'
import { OPTIMISATION_LEVELS, type ResourceView } from '../../../shared/contracts/resource.ts'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { runBenchmark } from '../../steps/run-benchmark.ts'
import { parseShapeRanges } from '../../../shared/contracts/shape-ranges.ts'
import { deployAndWait } from '../../steps/deploy-plan.ts'
import { createProgress } from '../../terminal/progress.ts'
import { tableOf } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { readJson } from '../files.ts'
import { nonNegative, wholeNumberFrom } from '../numbers.ts'
import { shapesOption } from '../common-options.ts'
import { baselinesText, besideText, plansText } from '../plan-tables.ts'
import { deploymentsTable, linksTable, profilesTable } from '../tables.ts'
import { verificationText } from '../verification-text.ts'
import { addPlanOptions, type GivenOptions, planQuery } from './plan-options.ts'

interface BenchOptions {
  resources?: string
  runs?: number
  threads?: number
  optimisation?: (typeof OPTIMISATION_LEVELS)[number]
  maxAge?: number
  force: boolean
  shapes?: InputShapes
}

interface DeployOptions {
  name?: string
  shapes?: string
  verify: boolean
}

export function addBenchCommand(program: Command, context: Context): void {
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
    .addOption(shapesOption())
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
      const done = await runBenchmark(benchmark, request, createProgress())
      const ids = done.parts.flatMap((part) => (part.profile === undefined ? [] : [part.profile]))
      const profiles = await Promise.all(ids.map((id) => benchmark.profile(id)))
      context.print({ benchmark: done, profiles }, () => [profilesTable(profiles), ...done.notes].join('\n'))
    })
}

export function addPlanCommands(program: Command, context: Context): void {
  addPlanOptions(
    program
      .command('plan <model>')
      .description('the best plans, with the native baselines beside them')
      .option('--sensitivity', 'also say at which bandwidth, round trip or slowdown another plan takes over'),
  ).action(async (model: string, options: GivenOptions) => {
    const query = { ...planQuery(model, options), ...(options.sensitivity === true && { sensitivity: true }) }
    const { planner } = context
    const answer = await (query.view === 'graph' ? planner.graphPlans(query) : planner.plans(query))
    context.print(answer, () => {
      const beside = besideText(answer)
      const id = answer.plans[0]?.id
      const deploy = id === undefined ? [] : [`deploy the first: scission deploy ${id}`]
      return [plansText(answer), baselinesText(answer), ...(beside ? [beside] : []), ...deploy].join('\n')
    })
  })
  program
    .command('deploy <plan>')
    .description(
      'make a plan live; waits until it is, and says how its outputs compare with the whole model’s',
    )
    .option('--name <name>', 'the model name it is served under')
    .option('--shapes <ranges>', 'take any input shape within these ranges: ids:1x8..512')
    .option('--no-verify', 'do not compare its outputs with those of the whole model')
    .action(async (plan: string, { name, shapes, verify }: DeployOptions) => {
      const ranges = shapes === undefined ? undefined : parseShapeRanges(shapes)
      const request = { plan, name, shapes: ranges, ...(!verify && { verify }) }
      const deployment = await deployAndWait(context.planner, request, createProgress())
      context.print(deployment, () =>
        [deploymentsTable([deployment]), verificationText(deployment.verification)].join('\n'),
      )
    })
  program
    .command('undeploy <deployment>')
    .description('take a deployment out of service')
    .action(async (id: string) => {
      await context.planner.undeploy(id)
      context.print({ deleted: id }, () => `deleted ${id}`)
    })
}

export function addListCommands(program: Command, context: Context): void {
  program
    .command('deployments')
    .description('what is live')
    .action(async () => context.print(await context.planner.deployments(), deploymentsTable))
  program
    .command('resources')
    .description('machines that registered')
    .action(async () => context.print(await context.planner.resources(), resourcesTable))
  program
    .command('links')
    .description('links between resources')
    .action(async () => context.print(await context.planner.links(), linksTable))
  program
    .command('profiles')
    .description('measured profiles')
    .option('--model <model>', 'only of this model')
    .action(async (filter: { model?: string }) =>
      context.print(await context.benchmark.profiles(filter), profilesTable),
    )
  program
    .command('import <file>')
    .description('profiles measured elsewhere, as `profiles --json` prints them, or the original Scission’s')
    .action(async (file: string) => {
      const stored = await context.benchmark.importProfiles(await readJson('import', file))
      context.print(stored, () => `stored ${(stored.items ?? stored.profiles ?? []).length} profiles`)
    })
}

const resourcesTable = (resources: readonly ResourceView[]): string =>
  tableOf(resources, {
    resource: ({ name }) => name,
    tier: ({ tier }) => tier,
    state: ({ alive }) => (alive ? 'alive' : 'lost'),
    address: ({ url }) => url,
    slowdown: ({ slowdown }) => `${slowdown}x`,
    machine: ({ machine }) => machine.cpuModel,
  })
