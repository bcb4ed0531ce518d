/** Where a Python with some modules is. */
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { CLIENTS } from './material.ts'

/** The one that is asked for, that of test/conformance/install-clients.sh, and the machine's own. */
const PYTHONS = [
  ...(process.env['SCISSION_TEST_PYTHON'] ? [process.env['SCISSION_TEST_PYTHON']] : []),
  path.join(CLIENTS.path, 'python/bin/python'),
  'python3',
]
const found = new Map<string, string | undefined>()

/** @param modules as behind `import`. @returns the first Python that has all of them, undefined if none has. */
export function findPython(modules: string): string | undefined {
  if (!found.has(modules))
    found.set(
      modules,
      PYTHONS.find((one) => spawnSync(one, ['-c', `import ${modules}`]).status === 0),
    )
  return found.get(modules)
}

/** Says that something is skipped for want of one. */
export const noPython = (modules: string): string =>
  `no Python with ${modules} in ${PYTHONS.join(', ')} (SCISSION_TEST_PYTHON names another)`
