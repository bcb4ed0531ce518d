#!/usr/bin/env tsx
/** `scission`: the services from a shell. Each command is one or two calls of the typed clients. */
import { CommanderError } from 'commander'
import type { GlobalOptions } from './global-options.ts'
import { createProgram, wantsJson } from './program.ts'
import { EXIT } from './exit-codes.ts'
import { printFailure, usageError } from './failures.ts'

const program = createProgram()
try {
  await program.parseAsync(process.argv)
} catch (thrown) {
  // Help and version have been printed.
  if (thrown instanceof CommanderError && thrown.exitCode === 0) process.exitCode = EXIT.ok
  else {
    const isJson = wantsJson(process.argv, program.opts<GlobalOptions>())
    // Who gives nothing wants to know what there is.
    if (process.argv.length === 2) program.outputHelp()
    const error = thrown instanceof CommanderError ? usageError(thrown, program.args) : thrown
    process.exitCode = printFailure(error, isJson)
  }
}
