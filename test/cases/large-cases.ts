/**
 * The cases that are too large to be kept: the script beside the others makes them, where there is a Python with `onnx` and
 * `numpy`.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { findPython, noPython } from '../support/python.ts'
import { readCases, type Case } from './read-cases.ts'

const SCRIPT = 'make_cases.py'
const MODULES = 'onnx, numpy'

/** Why they cannot be made; undefined if they can. */
export function whyNoLargeCases(): string | undefined {
  return findPython(MODULES) === undefined ? noPython(MODULES) : undefined
}

/** @param folder of the cases. @returns the names of those that its script makes and that are not in it. */
export function largeCaseNames(folder: string): string[] {
  const script = path.join(folder, SCRIPT)
  if (!existsSync(script)) return []
  const names = [...readFileSync(script, 'utf8').matchAll(/^@case\('([^']+)'/gm)].map(([, name = '']) => name)
  return names.filter((name) => !existsSync(path.join(folder, name, 'case.json')))
}

export interface MadeCases {
  cases: Case[]
  remove: () => void
}

/** Makes them in a folder for temporary files. @throws Error with what the script printed if one was not made. */
export function makeLargeCases(folder: string, names: readonly string[]): MadeCases {
  const made = mkdtempSync(path.join(os.tmpdir(), 'scission-cases-'))
  const remove = () => rmSync(made, { recursive: true, force: true })
  // It writes beside itself.
  copyFileSync(path.join(folder, SCRIPT), path.join(made, SCRIPT))
  const { stdout, stderr } = spawnSync(findPython(MODULES) ?? '', [SCRIPT, ...names], {
    cwd: made,
    encoding: 'utf8',
  })
  const cases = readCases(path.join(made, 'cases'))
  const missing = names.filter((name) => !cases.some((one) => one.name === name))
  if (missing.length === 0) return { cases, remove }
  remove()
  throw new Error(`${SCRIPT} made no ${missing.join(', ')}: ${stdout}${stderr}`)
}
