#!/usr/bin/env node
// `npx scission …`: the command line, started as `npm start` starts the whole.
process.argv.splice(2, 0, 'infra/cli/main.ts')
await import('../start/install.mjs')
