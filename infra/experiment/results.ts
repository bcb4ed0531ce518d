/**
 * The files of an experiment's folder:
 *
 *   experiment.json   what was asked and with what; whether it is complete
 *   rows.jsonl        one line for each request, written as soon as it is answered
 *   rows.csv, rows.json, summary.csv, summary.json   made of those at the end, also of a part
 *   deployments.json  what it has deployed, until that is taken down: see own-deployments.ts
 *   experiment.lock   while a process works there: see folder-lock.ts
 */
import { access, appendFile, constants } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { Experiment, ExperimentRow } from '../../shared/contracts/experiment.ts'
import { readIfThere, statIfThere, writeWhole } from '../../shared/platform/atomic-file.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { makeFolder } from '../../shared/platform/make-folder.ts'
import { checkJson } from '../../shared/platform/outside-input.ts'
import { csvText } from '../terminal/csv.ts'
import { fileFaults } from '../terminal/file-faults.ts'
import { type FolderLock, lockFolder, type LockWait } from './folder-lock.ts'
import { DEPLOYMENTS_FILE } from './own-deployments.ts'
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

const TABLES = ['rows.csv', 'rows.json', 'summary.csv', 'summary.json'] as const
const ROWS = 'rows.jsonl'

type Refuse = (why: string) => ScissionError

export class Results {
  readonly folder: string
  /** Until `close`. */
  readonly lock: FolderLock
  readonly rows: ExperimentRow[]
  readonly #keys: Set<string>
  /** Of the run that is resumed. */
  readonly earlier: Header | undefined

  private constructor(folder: string, lock: FolderLock, found?: { earlier: Header; rows: ExperimentRow[] }) {
    this.folder = folder
    this.lock = lock
    this.earlier = found?.earlier
    this.rows = found?.rows ?? []
    this.#keys = new Set(this.rows.map(keyOf))
  }

  /**
   * Nobody else opens the folder until this is closed.
   * @throws ScissionError badRequest if the folder cannot be written to, another process works there, or it holds results that
   * are not to be resumed, of another experiment, or that are damaged, or files of others that would be replaced; the reason of
   * the signal.
   */
  static async open(experiment: Experiment, resume: boolean, wait: LockWait = {}): Promise<Results> {
    const folder = experiment.output
    const refuse = (why: string) => new ScissionError('badRequest', `output: ${folder} ${why}`)
    await makeWritable(folder).catch((thrown: unknown) => {
      throw refuse(`cannot be written to: ${coerceError(thrown).message}`)
    })
    // Not even the lock is put beside files of others.
    await headerIn(folder, refuse)
    const lock = await lockFolder(folder, wait)
    try {
      return new Results(folder, lock, await earlierIn(experiment, resume, refuse))
    } catch (thrown) {
      lock.release()
      throw thrown
    }
  }

  /** Lets the next one have the folder. */
  close(): void {
    this.lock.release()
  }

  has(model: string, query: string, repetition: number): boolean {
    return this.#keys.has(keyOf({ model, query, repetition }))
  }

  /** @throws ScissionError conflict if another process has the folder by now; so do those below. */
  async add(row: ExperimentRow): Promise<void> {
    this.lock.assertHeld()
    await appendFile(path.join(this.folder, ROWS), lineOf(row))
    this.rows.push(row)
    this.#keys.add(keyOf(row))
  }

  /** Writes what was asked with what, and whether all of it was measured. */
  async describe(header: Header): Promise<void> {
    this.lock.assertHeld()
    await writeWhole(path.join(this.folder, 'experiment.json'), `${JSON.stringify(header, null, 2)}\n`)
  }

  /** Writes the tables. @returns the summary. */
  async finish(experiment: Experiment): Promise<SummaryRow[]> {
    this.lock.assertHeld()
    const summary = summaryOf(experiment, this.rows)
    const files: Record<(typeof TABLES)[number], string> = {
      'rows.csv': `${csvText(requestsTable(this.rows))}\r\n`,
      'rows.json': `${JSON.stringify(this.rows)}\n`,
      'summary.csv': `${csvText(summaryTable(summary))}\r\n`,
      'summary.json': `${JSON.stringify(summary, null, 2)}\n`,
    }
    for (const [name, text] of Object.entries(files)) await writeWhole(path.join(this.folder, name), text)
    return summary
  }
}

/** @returns experiment.json, if it is there. @throws refuse if it is not and there are files of its names. */
async function headerIn(folder: string, refuse: Refuse): Promise<string | undefined> {
  const text = await readIfThere(path.join(folder, 'experiment.json'))
  if (text !== undefined) return text
  for (const name of [ROWS, ...TABLES, DEPLOYMENTS_FILE])
    if (await statIfThere(path.join(folder, name)))
      throw refuse(`has ${name}, but no experiment.json: give another folder`)
  return undefined
}

/** @returns what is there to be resumed. @throws refuse if that must not be. */
async function earlierIn(experiment: Experiment, resume: boolean, refuse: Refuse) {
  const folder = experiment.output
  const text = await headerIn(folder, refuse)
  if (text === undefined) return undefined
  if (!resume)
    throw refuse('has results of an experiment: --resume goes on with it, another folder begins anew')
  const { value, fault } = checkJson(Header, text)
  if (!value) throw refuse(`cannot be resumed: experiment.json: ${fault}`)
  if (!isDeepStrictEqual(value.experiment, experiment))
    throw refuse('has results of an experiment that was described otherwise: give another folder')
  const rows = await rowsIn(path.join(folder, ROWS), refuse)
  // A line that was cut off is measured again, and must not stay before the next.
  await writeWhole(path.join(folder, ROWS), rows.map(lineOf).join(''))
  return { earlier: value, rows }
}

const lineOf = (row: ExperimentRow) => `${JSON.stringify(row)}\n`

const keyOf = ({ model, query, repetition }: Pick<ExperimentRow, 'model' | 'query' | 'repetition'>) =>
  JSON.stringify([model, query, repetition])

async function makeWritable(folder: string): Promise<void> {
  await makeFolder(folder)
  await access(folder, constants.W_OK)
}

/** Rows that were written whole: what follows the last line end was cut off. @throws refuse of a line that is damaged. */
async function rowsIn(file: string, refuse: Refuse): Promise<ExperimentRow[]> {
  const lines = ((await readIfThere(file)) ?? '').split('\n').slice(0, -1)
  return lines.map((line, at) => {
    const { value, fault } = checkJson(ExperimentRow, line)
    if (value) return value
    throw refuse(`cannot be resumed: ${ROWS}: line ${at + 1}: ${fault}; remove the line to measure it again`)
  })
}

/** @throws ScissionError badRequest naming every field that is wrong. */
export function parseExperiment(file: string, content: unknown): Experiment {
  const parsed = Experiment.safeParse(content)
  if (parsed.success) return parsed.data
  throw new ScissionError('badRequest', `${file}: ${fileFaults(parsed.error, Experiment).join('; ')}`)
}
