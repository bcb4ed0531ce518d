/** `scission links`: list them, set what plans take for them, and forget that again. */
import type { Command } from 'commander'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { nonNegative } from '../numbers.ts'
import { namingOptions, type OptionHints } from '../option-errors.ts'
import { linksTable } from '../link-table.ts'

interface SetOptions {
  rtt: number
  bandwidth: number
  back?: number
}

const HINTS: OptionHints = {
  rttMs: { flag: '--rtt', expected: 'milliseconds, 0 or more', example: '20' },
  bandwidthMbps: { flag: '--bandwidth', expected: 'Mbit/s, more than 0', example: '5' },
  returnBandwidthMbps: { flag: '--back', expected: 'Mbit/s, more than 0', example: '20' },
}

export function defineLinks(command: Command, context: Context): void {
  command
    .command('list', { isDefault: true })
    .description('all links, with how their figures were obtained')
    .addOption(csvOption())
    .action(async () => context.printTable(await context.planner.links(), linksTable))
  command
    .command('set <from> <to>')
    .description('what plans take for a link, whatever is measured, until it is forgotten')
    .requiredOption('--rtt <ms>', 'round trip', nonNegative)
    .requiredOption('--bandwidth <Mbit/s>', 'from the first to the second', nonNegative)
    .option('--back <Mbit/s>', 'the other way (default: as --bandwidth)', nonNegative)
    .addOption(csvOption())
    .action(async (from: string, to: string, { rtt, bandwidth, back }: SetOptions) => {
      const figures = {
        rttMs: rtt,
        bandwidthMbps: bandwidth,
        ...(back !== undefined && { returnBandwidthMbps: back }),
      }
      const link = await namingOptions(HINTS, () => context.planner.setLink(from, to, figures))
      context.printTable(link, (shown) => linksTable([shown]))
    })
  command
    .command('forget <from> <to>')
    .description('forget what was set: what is measured holds again')
    .option('--all', 'also forget what was measured or imported; services measure it again')
    .action(async (from: string, to: string, { all }: { all?: boolean }) => {
      const { link, note } = await context.planner.forgetLink(from, to, all)
      context.print({ forgotten: { from, to }, link, note }, () => note)
    })
}
