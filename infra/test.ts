/**
 * `npm test [-- FILTER…]`: says which of the optional tools are here, runs vitest, and closes with one line that
 * both people and machines read: `N passed, N failed, N skipped`.
 */
import { startVitest } from 'vitest/node'
import { findOnPath } from './processes/find-on-path.ts'

const OPTIONAL = [
  {
    name: 'a real Redis',
    commands: ['valkey-server', 'redis-server'],
    without: 'queue tests run against the emulated one only',
  },
  { name: 'the Docker client', commands: ['docker'], without: 'docker-compose.yml is not validated by it' },
]

for (const { name, commands, without } of OPTIONAL) {
  const found = commands.map((command) => findOnPath(command)).find((path) => path !== undefined)
  console.log(found ? `found ${name}` : `no ${name}: ${without}`)
}

const vitest = await startVitest('test', process.argv.slice(2), { watch: false, run: true })
const counts = { passed: 0, failed: 0, skipped: 0 }
for (const module of vitest.state.getTestModules()) {
  // A file that could not be loaded has no tests to count, and is a failure all the same.
  if (module.state() === 'failed' && module.children.size === 0) counts.failed += 1
  for (const test of module.children.allTests()) {
    const { state } = test.result()
    if (state === 'passed') counts.passed += 1
    else if (state === 'failed') counts.failed += 1
    else counts.skipped += 1
  }
}
const unhandled = vitest.state.getUnhandledErrors().length
await vitest.close()
const failed = counts.failed + unhandled
// Vitest sets the exit code for failed tests itself; a run that found no test has not shown anything either.
if (failed > 0 || counts.passed === 0) process.exitCode = 1
process.stdout.write(`${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped\n`, () =>
  process.exit(),
)
