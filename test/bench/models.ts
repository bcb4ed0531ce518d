/**
 * Cases through a running system, each to its end: uploaded, whole, cut everywhere, measured, planned, deployed, asked.
 * `--models` takes parts of names; `--cuts` says how many cuts of each model are tried at most.
 */
import type { System } from '../../infra/start/system.ts'
import { driveCase } from '../cases/drive.ts'
import type { Drive } from '../cases/driven.ts'
import { largeCaseNames, makeLargeCases, whyNoLargeCases } from '../cases/large-cases.ts'
import { type Case, readCases } from '../cases/read-cases.ts'
import { faultsOf } from '../cases/verdict.ts'
import { CASES } from '../support/material.ts'
import { startTestSystem } from '../support/system.ts'
import { type Benchmark, type BenchOptions, type Figure, figure, type Result } from './bench.ts'

const DEFAULT_CUTS = 60

export const models: Benchmark = {
  name: 'models',
  title: 'Models of reported faults: every answer against ONNX Runtime',
  run,
}

/** A case as it went. */
interface Row {
  name: string
  expect: Case['expect']
  /** What did not go as it should. */
  faults: string[]
  drive: Drive
}

async function run(say: (text: string) => void, options: BenchOptions = {}): Promise<Result> {
  if (CASES.found === undefined) throw new Error(`there are no ${CASES.name} in ${CASES.path}`)
  const cuts = Number(options.cuts ?? DEFAULT_CUTS)
  const wanted = options.models?.split(',') ?? ['']
  const isWanted = (name: string) => wanted.some((part) => name.includes(part))
  const large = largeCases(CASES.found, isWanted, say)
  const system = await startTestSystem()
  try {
    const cases = [...readCases(CASES.found).filter(({ name }) => isWanted(name)), ...large.cases]
    const rows: Row[] = []
    for (const one of cases) rows.push(await drive(system, one, cuts, say))
    return { figures: figuresOf(rows, large.missing), raw: rows }
  } finally {
    await system.close()
    large.remove()
  }
}

async function drive(system: System, given: Case, cuts: number, say: (text: string) => void): Promise<Row> {
  const drive = await driveCase(system, given, { cuts, toTheEnd: true })
  const faults = faultsOf(given, drive)
  const seconds = Object.values(drive.steps).reduce((sum, step) => sum + step.seconds, 0)
  say(`${faults.length === 0 ? 'ok  ' : 'FAIL'} ${given.name} (${seconds.toFixed(1)} s)`)
  for (const line of [...faults, ...drive.notes]) say(`     ${line}`)
  return { name: given.name, expect: given.expect, faults, drive }
}

function largeCases(folder: string, isWanted: (name: string) => boolean, say: (text: string) => void) {
  const names = largeCaseNames(folder).filter(isWanted)
  const nothing = { cases: [], remove: () => {}, missing: names.length }
  const why = names.length > 0 ? whyNoLargeCases() : undefined
  if (why !== undefined) say(`not made, and left out: ${names.join(', ')}: ${why}`)
  if (why !== undefined || names.length === 0) return nothing
  say(`making ${names.join(', ')}`)
  return { ...makeLargeCases(folder, names), missing: 0 }
}

const STEPS = ['whole', 'json', 'cuts', 'single', 'benchmark', 'plan', 'deploy', 'infer', 'inferJson']

function figuresOf(rows: readonly Row[], missing: number): Figure[] {
  const count = (which: (row: Row) => boolean) => rows.filter(which).length
  const sum = (of: (row: Row) => number | undefined) => rows.reduce((total, row) => total + (of(row) ?? 0), 0)
  const all = (name: string, which: (row: Row) => boolean, among: (row: Row) => boolean) =>
    figure(
      name,
      count((row) => among(row) && which(row)),
      'cases',
      'higher',
      count(among),
    )
  const went = ({ faults }: Row) => faults.length === 0
  const steps = STEPS.map((name) =>
    all(
      `${name}: as it should`,
      ({ drive, faults }) =>
        Boolean(drive.steps[name]?.ok) || !faults.some((fault) => fault.startsWith(`${name}:`)),
      ({ drive }) => drive.steps[name] !== undefined,
    ),
  )
  return [
    all('cases that go as they should', went, () => true),
    all('that work and are equal', went, ({ expect }) => expect === 'works'),
    all('that are refused for the right reason', went, ({ expect }) => expect === 'refused'),
    all('either', went, ({ expect }) => expect === 'either'),
    figure('not made', missing, 'cases', 'lower', null),
    ...steps,
    figure(
      'cuts tried',
      sum(({ drive }) => drive.steps.cuts?.tried),
      'cuts',
      'higher',
      null,
    ),
    figure(
      'of these bit-identical with the file',
      sum(({ drive }) => drive.steps.cuts?.bitIdentical),
      'cuts',
      'higher',
      null,
    ),
    figure(
      'outputs not compared',
      count(({ drive }) => drive.notes.length > 0),
      'cases',
      'lower',
      null,
    ),
  ]
}
