/** `scission bench`, `plan`, `deploy`, `deployments`, `resources`, `links`, `profiles`. */
import type { Command } from 'commander'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import { parseInputShapes } from '../../../shared/input-shapes.ts'
import type { z } from 'zod'
import { runBenchmark } from '../../benchmark-run.ts'
import { deployAndWait } from '../../deploy-run.ts'
import { createProgress } from '../../terminal/progress.ts'
import { renderTable } from '../../terminal/table.ts'
import type { Context } from '../context.ts'
import { baselinesText, deploymentsTable, linksTable, plansText, profilesTable } from '../tables.ts'

interface BenchOptions {
  resources?: string
  runs?: string
  shapes?: string
}

export function addBenchCommand(program: Command, context: () => Context): void {
  program
    .command('bench <model>')
    .description('measure a model layer by layer on every resource')
    .option('--resources <names>', 'only these, comma-separated')
    .option('--runs <n>', 'unprofiled runs that set the scale', '20')
    .option('--shapes <shapes>', 'input:1x3x224x224,other:1x16')
    .action(async (model: string, options: BenchOptions) => {
      const { benchmark, print } = context()
      const request = {
        model,
        runs: Number(options.runs),
        ...(options.resources !== undefined && { resources: options.resources.split(',') }),
        ...(options.shapes !== undefined && { inputShapes: parseInputShapes(options.shapes) }),
      }
      const done = await runBenchmark(benchmark, request, createProgress())
      const ids = done.parts.flatMap((part) => (part.profile === undefined ? [] : [part.profile]))
      const profiles = await Promise.all(ids.map((id) => benchmark.profile(id)))
      print({ benchmark: done, profiles }, () => [profilesTable(profiles), ...done.notes].join('\n'))
    })
}

/** Shell option → field of the plan query; the planner itself checks the values. */
const PLAN_OPTIONS = [
  ['--top <k>', 'top', 'how many plans'],
  ['--objective <name>', 'objective', 'latency, or throughput (stages overlap)'],
  ['--use <tiers>', 'mustUseTiers', 'tiers that must be used, comma-separated'],
  ['--avoid <tiers>', 'mustNotUseTiers', 'tiers that must not be used'],
  ['--use-resources <names>', 'mustUseResources', 'resources that must be used'],
  ['--avoid-resources <names>', 'mustNotUseResources', 'resources that must not be used'],
  ['--first-layers-on-device <k>', 'firstLayersOnDevice', 'layers 0..k-1 stay where the input is'],
  ['--run-layers <places>', 'mustRunLayers', 'layers that must run on a tier: 0-5:device,7:edge'],
  ['--keep-layers-off <places>', 'mustNotRunLayers', 'layers that must not run on a tier'],
  ['--max-tier-ms <limits>', 'maxTierMs', 'compute time per tier: device:20,edge:5'],
  ['--max-upload-bytes <limits>', 'maxUploadBytes', 'bytes sent on per tier: device:100000'],
  ['--max-memory-bytes <limits>', 'maxMemoryBytes', 'memory per resource: gateway:50000000'],
  ['--max-latency-ms <ms>', 'maxLatencyMs', 'predicted latency'],
  ['--min-throughput <n>', 'minThroughput', 'requests per second when stages overlap'],
  ['--min-stages <n>', 'minStages', 'at least so many stages'],
  ['--max-stages <n>', 'maxStages', 'at most so many stages'],
  ['--cuts <clean|any>', 'cuts', 'which boundaries may be cut'],
  ['--network <preset>', 'network', 'what if the first tier’s links were 3g, 4g, wifi or wired'],
  ['--source <resource>', 'source', 'where the input is'],
] as const satisfies readonly (readonly [string, keyof PlanQuery, string])[]

/** commander names an option's value after its flag: `--max-tier-ms <limits>` → maxTierMs. */
const valueName = (flag: string) =>
  flag
    .split(' ')[0]!
    .replace(/^--/, '')
    .replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

function planQuery(model: string, options: Record<string, string | undefined>): z.input<typeof PlanQuery> {
  const given = PLAN_OPTIONS.flatMap(([flag, field]) => {
    const value = options[valueName(flag)]
    return value === undefined ? [] : [[field, value] as const]
  })
  const shapes = options.shapes === undefined ? {} : { inputShapes: parseInputShapes(options.shapes) }
  return { model, ...Object.fromEntries(given), ...shapes }
}

export function addPlanCommands(program: Command, context: () => Context): void {
  const plan = program
    .command('plan <model>')
    .description('the best plans, with the native baselines beside them')
  for (const [flag, , text] of PLAN_OPTIONS) plan.option(flag, text)
  plan
    .option('--shapes <shapes>', 'input:1x3x224x224,other:1x16')
    .action(async (model: string, options: Record<string, string | undefined>) => {
      const { planner, print } = context()
      const answer = await planner.plans(planQuery(model, options))
      print(
        answer,
        () =>
          `${plansText(answer)}\n${baselinesText(answer)}\ndeploy the first: scission deploy ${answer.plans[0]?.id}`,
      )
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
}
