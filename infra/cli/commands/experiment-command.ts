/** `scission experiment`: models, queries and repetitions of a file, measured; and a summary of what came out. */
import os from 'node:os'
import type { Command } from 'commander'
import { z } from 'zod'
import { Experiment } from '../../../shared/contracts/experiment.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { parseExperiment } from '../../experiment/results.ts'
import { runExperiment } from '../../experiment/run.ts'
import { summaryTable } from '../../experiment/experiment-tables.ts'
import { printable } from '../../terminal/printable.ts'
import { onStopSignals } from '../../../shared/platform/processes/stop-signals.ts'
import { createProgress } from '../../terminal/progress.ts'
import { complain } from '../../terminal/say.ts'
import { tableText } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { readJson } from '../files.ts'

export function defineExperiment(command: Command, context: Context): void {
  command
    .option('--resume', 'go on with one that was interrupted: what was measured is not measured again', false)
    .option('--schema', 'print the JSON schema of the file', false)
    .addOption(csvOption())
    .action(async (file: string | undefined, { resume, schema }: { resume: boolean; schema: boolean }) => {
      if (schema) return console.log(JSON.stringify(z.toJSONSchema(Experiment, { io: 'input' }), null, 2))
      if (file === undefined)
        throw new ScissionError(
          'badRequest',
          'experiment: give the file that describes it (--schema says how)',
        )
      const experiment = parseExperiment(file, await readJson('experiment', file))
      const signal = untilInterrupted()
      const outcome = await runExperiment(context, experiment, {
        resume,
        signal,
        progress: createProgress,
        say: (text) => complain(printable(text)),
      })
      const { summary, complete, rows, planned } = outcome
      context.printTable(
        { output: experiment.output, complete, rows, planned, summary },
        (shown) => summaryTable(shown.summary),
        (shown, table) =>
          [
            tableText(table),
            shown.complete
              ? `${shown.rows} requests in ${shown.output}`
              : `incomplete: ${shown.rows} of ${shown.planned} requests in ${shown.output}; --resume goes on`,
          ].join('\n'),
      )
      if (!complete) process.exitCode = EXIT.failed
    })
}

/** The first Ctrl-C ends it in order, the second one at once: the next `--resume` then takes down what it deployed. */
function untilInterrupted(): AbortSignal {
  const interrupted = new AbortController()
  onStopSignals(
    (signal) => interrupted.abort(new ScissionError('cancelled', `stopped by ${signal}`)),
    (signal) => process.exit(128 + os.constants.signals[signal]),
  )
  return interrupted.signal
}
