/**
 * `npm test [-- FILTER…]`: says which of the optional tools are here, runs vitest, says which third-party material was
 * used, and closes with one line that both people and machines read: `N passed, N failed, N skipped`.
 */
import { startVitest, type TestCase, type TestModule, type TestSuite } from 'vitest/node'
import { findOnPath } from './start/processes/find-on-path.ts'

type TestState = ReturnType<TestCase['result']>['state']

const OPTIONAL = [
  {
    name: 'a real Redis',
    commands: ['valkey-server', 'redis-server'],
    without: 'queue tests run against the emulated one only',
  },
  {
    name: 'a Chromium',
    commands: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    without: 'the documentation pages are not opened in a browser',
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
  counts.failed += failuresOutsideTests(module)
  const outcomes = [...module.children.allTests()].map((test) => test.result().state)
  const count = (state: TestState) => outcomes.filter((outcome) => outcome === state).length
  counts.passed += count('passed')
  counts.failed += count('failed') + count('pending')
  counts.skipped += count('skipped')
  if (count('pending') > 0)
    console.error(
      `${module.relativeModuleId} ended before ${count('pending')} of its tests did: they count as failed`,
    )
}
// The reporter has printed them: what it was, and in which file.
counts.failed += vitest.state.getUnhandledErrors().length
await vitest.close()
for (const line of materialLines()) console.log(line)
// Vitest sets the exit code for failed tests itself; a run that found no test has not shown anything either.
if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
// A pipe whose reader is slow takes the rest later; `process.exit` would lose it.
for (const stream of [process.stdout, process.stderr])
  await new Promise((written) => stream.write('', written))
process.exit()

/**
 * One line for each tag of vitest.config.ts: what its description says of the material, and how many of its tests ran.
 */
function materialLines(): string[] {
  const tests = vitest.state.getTestModules().flatMap((module) => [...module.children.allTests()])
  return vitest.config.tags.map(({ name, description = name }) => {
    const states = tests.filter(({ tags }) => tags.includes(name)).map((test) => test.result().state)
    const skipped = states.filter((state) => state === 'skipped').length
    return `${description} (${states.length - skipped} tests used it, ${skipped} skipped)`
  })
}

/**
 * A file that cannot be loaded has no tests, and what comes before or after the tests of a group fails without any of
 * them: its tests are then skipped. Each is a failure all the same.
 */
function failuresOutsideTests(module: TestModule): number {
  const groups: (TestModule | TestSuite)[] = [module, ...module.children.allSuites()]
  return groups.filter((group) => group.errors().length > 0).length
}
