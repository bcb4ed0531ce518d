#!/usr/bin/env tsx
/** `scission`: the services from a shell. Each command is one or two calls of the typed clients. */
import { Command, CommanderError } from 'commander'
import { VERSION } from '../../shared/platform/version.ts'
import { addCalibrateCommands } from './commands/calibrate.ts'
import { addConfigCommand } from './commands/config.ts'
import { addInferCommand } from './commands/infer.ts'
import { addModelCommands } from './commands/models.ts'
import { addBenchCommand, addListCommands, addPlanCommands } from './commands/plans.ts'
import { addPredictCommand } from './commands/predict.ts'
import { addSweepCommand } from './commands/sweep-command.ts'
import { addUpCommand } from './commands/up.ts'
import { addZooCommands } from './commands/zoo.ts'
import { createContext, type GlobalOptions } from './context.ts'
import { describeFailure, EXIT, exitCodeOf } from './exit-codes.ts'

const program = new Command('scission')
  .description('Splits a trained neural network over a device, an edge node and a cloud.')
  .version(VERSION)
  .option('--json', 'print JSON for programs', false)
  .option(
    '--benchmark-url <url>',
    'the benchmark service',
    process.env.SCISSION_BENCHMARK_URL ?? 'http://127.0.0.1:8081',
  )
  .option(
    '--planner-url <url>',
    'the planner service',
    process.env.SCISSION_PLANNER_URL ?? 'http://127.0.0.1:8082',
  )
  .addHelpText(
    'after',
    '\nExit codes: 0 success, 1 something failed, 2 wrong usage or request, 3 unknown name, 4 no plan satisfies, 5 a service cannot be reached',
  )
  .exitOverride()
const context = createContext(() => program.opts<GlobalOptions>())
addUpCommand(program)
addModelCommands(program, context)
addBenchCommand(program, context)
addCalibrateCommands(program, context)
addPlanCommands(program, context)
addSweepCommand(program, context)
addInferCommand(program, context)
addListCommands(program, context)
addZooCommands(program, context)
addPredictCommand(program, context)
addConfigCommand(program, context)

try {
  await program.parseAsync(process.argv)
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exitCode = thrown.exitCode === 0 ? EXIT.ok : EXIT.usage
  else {
    console.error(describeFailure(thrown, program.opts<GlobalOptions>().json))
    process.exitCode = exitCodeOf(thrown)
  }
}
