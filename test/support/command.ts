/** The command line as a user has it: `node SCISSION …` is what `npx scission …` runs. */
import path from 'node:path'

export const SCISSION = path.resolve('infra/cli/scission.mjs')
