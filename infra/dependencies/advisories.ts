/** What the registry knows of faults in the packages of the lockfile: the report of `npm audit`. */
import { execFile } from 'node:child_process'
import { z } from 'zod'
import { checkJson } from '../../shared/platform/outside-input.ts'

export type Advisories =
  | { kind: 'clean' }
  | { kind: 'found'; packages: { name: string; severity: string }[] }
  | { kind: 'unknown'; why: string }

const Report = z.object({
  vulnerabilities: z.record(z.string(), z.object({ name: z.string(), severity: z.string() })),
})
const Refusal = z.object({ message: z.string() })
/** With many packages the report is long. */
const MAX_BUFFER = 64 * 1024 * 1024
const TIMEOUT_MS = 120_000

/** @returns the advisories on packages that users get, or why the registry told none. */
export function readAdvisories(output: string): Advisories {
  const report = checkJson(Report, output).value
  if (report) {
    const packages = Object.values(report.vulnerabilities).map(({ name, severity }) => ({ name, severity }))
    return packages.length === 0 ? { kind: 'clean' } : { kind: 'found', packages }
  }
  const refusal = checkJson(Refusal, output).value
  return { kind: 'unknown', why: refusal?.message || 'npm audit gave no report' }
}

/** Asks the registry that npm is set up for. It answers, refuses, or is not reached. */
export function askRegistry(): Promise<Advisories> {
  return new Promise((resolve) => {
    const options = { maxBuffer: MAX_BUFFER, timeout: TIMEOUT_MS, shell: process.platform === 'win32' }
    execFile('npm', ['audit', '--omit=dev', '--json'], options, (error, stdout) => {
      // npm ends with 1 both when it has found something and when it could not ask: its report tells which.
      const said = readAdvisories(stdout)
      resolve(
        said.kind === 'unknown' && error && stdout === '' ? { kind: 'unknown', why: error.message } : said,
      )
    })
  })
}
