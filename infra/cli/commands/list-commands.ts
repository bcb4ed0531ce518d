/** `scission deployments` and `profiles`. Lists are read to their last page. */
import type { Command } from 'commander'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { deploymentsTable, profileLayersTable, profilesTable } from '../tables.ts'

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
  command
    .command('show <id>')
    .description('one profile, layer by layer')
    .addOption(csvOption())
    .action(async (id: string) => context.printTable(await context.benchmark.profile(id), profileLayersTable))
  command
    .command('delete <id>')
    .description('delete a profile, measured or imported')
    .action(async (id: string) => {
      await context.benchmark.deleteProfile(id)
      context.print({ deleted: id }, ({ deleted }) => `deleted ${deleted}`)
    })
}
