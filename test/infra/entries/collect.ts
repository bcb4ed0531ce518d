/**
 * Loads every test file of the working folder without running a test, and writes what Vitest found to the file that is
 * named by the argument. Files share their modules: what is asked is whether they load and which tests they have.
 */
import { writeFileSync } from 'node:fs'
import { createVitest, type TestModule, type TestSuite } from 'vitest/node'

export interface CollectedTest {
  name: string
  /** `run`, or `skip` if it would be skipped here. */
  mode: string
  tags: string[]
}

export interface Collected {
  /** Relative to the working folder. */
  file: string
  errors: string[]
  tests: CollectedTest[]
}

const [target = ''] = process.argv.slice(2)
const vitest = await createVitest('test', { watch: false, run: true, isolate: false, reporters: [] })
const { testModules, unhandledErrors } = await vitest.collect()
const files = testModules.map(
  (module): Collected => ({
    file: module.relativeModuleId,
    errors: errorsOf(module),
    tests: [...module.children.allTests()].map(({ fullName, options, tags }) => ({
      name: fullName,
      mode: options.mode ?? 'run',
      tags: [...tags],
    })),
  }),
)
writeFileSync(target, JSON.stringify({ files, unhandled: unhandledErrors.map(String) }))
await vitest.close()

function errorsOf(module: TestModule): string[] {
  const groups: (TestModule | TestSuite)[] = [module, ...module.children.allSuites()]
  return groups.flatMap((group) => group.errors().map(({ message }) => message))
}
