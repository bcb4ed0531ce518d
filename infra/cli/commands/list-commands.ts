/** `scission deployments`, `profiles` and `import`. Lists are read to their last page. */
import type { Command } from 'commander'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { readJson } from '../files.ts'
import { deploymentsTable, profilesTable } from '../tables.ts'

export function defineDeployments(command: Command, context: Context): void {
  command
    .command('list', { isDefault: true })
    .description('all deployments, and where clients reach them')
    .addOption(csvOption())
    .action(async () => context.printTable(await context.planner.deployments(), deploymentsTable))
}

export function defineProfiles(command: Command, context: Context): void {
  command
    .command('list', { isDefault: true })
    .description('all profiles')
    .option('--model <model>', 'only of this model')
    .addOption(csvOption())
    .action(async (filter: { model?: string }) =>
      context.printTable(
        await context.benchmark.profiles(filter.model === undefined ? {} : { model: filter.model }),
        profilesTable,
      ),
    )
}

export function defineImport(command: Command, context: Context): void {
  command.action(async (file: string) => {
    const stored = await context.benchmark.importProfiles(await readJson('import', file))
    context.print(stored, () => `stored ${(stored.items ?? stored.profiles ?? []).length} profiles`)
  })
}
