import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/support/longest-first.ts'
import { MATERIAL } from './test/support/material.ts'
import { PATIENCE_MS } from './test/support/patience.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**'],
    // Two cores, and most tests start servers or sessions of their own, whose answers they also wait for.
    maxWorkers: 3,
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    // A test waits for several things in turn; each wait ends by itself and says what did not come.
    testTimeout: 10 * PATIENCE_MS,
    hookTimeout: 10 * PATIENCE_MS,
    // Read by infra/test.ts, which closes with what was there and how many tests used it.
    tags: MATERIAL.map(({ tag, name, found, path, without }) => ({
      name: tag,
      description: found ? `${name}: found in ${found}` : `${name}: not in ${path}; ${without}`,
    })),
    expect: { poll: { timeout: PATIENCE_MS } },
  },
})
