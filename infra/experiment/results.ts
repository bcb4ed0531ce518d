/**
 * The files of an experiment's folder:
 *
 *   experiment.json   what was asked and with what; whether it is complete
 *   rows.jsonl        one line for each request, written as soon as it is answered
 *   rows.csv, rows.json, summary.csv, summary.json   made of those at the end, also of a part
 */
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { Experiment, ExperimentRow } from '../../shared/contracts/experiment.ts'
import { readIfThere, writeWhole } from '../../shared/platform/atomic-file.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { checkJson } from '../../shared/platform/outside-input.ts'
import { csvText } from '../terminal/csv.ts'
import { summaryOf, type SummaryRow } from './summary.ts'
import { requestsTable, summaryTable } from './experiment-tables.ts'

/** What is on record of an experiment, beside its rows. */
export const Header = z.looseObject({
  experiment: Experiment,
  complete: z.boolean(),
  startedAt: z.string(),
  /** The plans, by model and label: a resumed experiment goes on with them. */
  plans: z.array(z.object({ model: z.string(), query: z.string(), plan: z.string() })),
})
export type Header = z.infer<typeof Header>

export class Results {
  readonly #folder: string
  readonly rows: ExperimentRow[]
  /** Of the run that is resumed. */
  readonly earlier: Header | undefined

  private constructor(folder: string, earlier: Header | undefined, rows: ExperimentRow[]) {
    this.#folder = folder
    this.earlier = earlier
    this.rows = rows
  }

  /** @throws ScissionError badRequest if the folder holds results that are not to be resumed, or of another experiment. */
  static async open(experiment: Experiment, resume: boolean): Promise<Results> {
    const folder = experiment.output
    const text = await readIfThere(path.join(folder, 'experiment.json'))
    await mkdir(folder, { recursive: true })
    if (text === undefined) {
      await writeFile(path.join(folder, 'rows.jsonl'), '')
      return new Results(folder, undefined, [])
    }
    const refuse = (why: string) => new ScissionError('badRequest', `output: ${folder} ${why}`)
    if (!resume)
      throw refuse('has results of an experiment: --resume goes on with it, another folder begins anew')
    const { value, fault } = checkJson(Header, text)
    if (!value) throw refuse(`cannot be resumed: experiment.json: ${fault}`)
    if (!isDeepStrictEqual(value.experiment, experiment))
      throw refuse('has results of an experiment that was described otherwise: give another folder')
    const rows = await rowsIn(path.join(folder, 'rows.jsonl'))
    // A line that was cut off is measured again, and must not stay before the next.
    await writeWhole(path.join(folder, 'rows.jsonl'), rows.map(lineOf).join(''))
    return new Results(folder, value, rows)
  }

  has(model: string, query: string, repetition: number): boolean {
    return this.rows.some(
      (row) => row.model === model && row.query === query && row.repetition === repetition,
    )
  }

  async add(row: ExperimentRow): Promise<void> {
    this.rows.push(row)
    await appendFile(path.join(this.#folder, 'rows.jsonl'), lineOf(row))
  }

  /** Writes what was asked with what, and whether all of it was measured. */
  async describe(header: Header): Promise<void> {
    await writeWhole(path.join(this.#folder, 'experiment.json'), `${JSON.stringify(header, null, 2)}\n`)
  }

  /** Writes the tables. @returns the summary. */
  async finish(experiment: Experiment): Promise<SummaryRow[]> {
    const summary = summaryOf(experiment, this.rows)
    const files = {
      'rows.csv': `${csvText(requestsTable(this.rows))}\r\n`,
      'rows.json': `${JSON.stringify(this.rows)}\n`,
      'summary.csv': `${csvText(summaryTable(summary))}\r\n`,
      'summary.json': `${JSON.stringify(summary, null, 2)}\n`,
    }
    for (const [name, text] of Object.entries(files)) await writeWhole(path.join(this.#folder, name), text)
    return summary
  }
}

const lineOf = (row: ExperimentRow) => `${JSON.stringify(row)}\n`

/** Rows that were written whole. */
async function rowsIn(file: string): Promise<ExperimentRow[]> {
  const lines = ((await readIfThere(file)) ?? '').split('\n')
  return lines.flatMap((line) => checkJson(ExperimentRow, line).value ?? [])
}

/** @throws ScissionError badRequest naming every field that is wrong. */
export function parseExperiment(file: string, content: unknown): Experiment {
  const parsed = Experiment.safeParse(content)
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path: at, message }) => `${at.map(String).join('.')}: ${message}`)
  throw new ScissionError(
    'badRequest',
    `${file}: ${faults.map((fault) => fault.replace(/^: /, '')).join('; ')}`,
  )
}
