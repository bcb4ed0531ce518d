/**
 * What an experiment has deployed, in its folder as deployments.json: each is noted before it is made, so that the next run
 * finds what one left that was killed. The file is there only as long as it names any.
 *
 *   absent ──name──▶ noted ──made──▶ noted with its time ──takeDown──▶ absent
 */
import { randomBytes } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import type { PlannerClient } from '../../shared/client/planner.ts'
import { Name, timestamp } from '../../shared/contracts/common.ts'
import type { DeploymentView } from '../../shared/contracts/stand-in.ts'
import { readIfThere, writeWhole } from '../../shared/platform/atomic-file.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { hidePasswords } from '../../shared/platform/hidden-passwords.ts'
import { checkJson } from '../../shared/platform/outside-input.ts'
import type { FolderLock } from './folder-lock.ts'

export const DEPLOYMENTS_FILE = 'deployments.json'

const Note = z.object({
  name: Name,
  plan: z.string(),
  /** URL of the planner service that was asked. */
  planner: z.string(),
  /** The planner's: a later deployment of the name is another. Absent until the planner has answered. */
  createdAt: timestamp.optional(),
})
type Note = z.infer<typeof Note>

type Planner = Pick<PlannerClient, 'baseUrl' | 'deployment' | 'undeploy'>

interface Place {
  folder: string
  lock: Pick<FolderLock, 'assertHeld'>
}

/** `gone`: there was none of the name. `another`: it was not made by the experiment, and is left alone. */
type Ended = 'takenDown' | 'gone' | 'another'

export class OwnDeployments {
  readonly #planner: Planner
  readonly #place: Place
  #notes: Note[]

  private constructor(planner: Planner, place: Place, notes: Note[]) {
    this.#planner = planner
    this.#place = place
    this.#notes = notes
  }

  /** @throws ScissionError badRequest if the file is damaged. */
  static async open(planner: Planner, place: Place): Promise<OwnDeployments> {
    const text = await readIfThere(path.join(place.folder, DEPLOYMENTS_FILE))
    if (text === undefined) return new OwnDeployments(planner, place, [])
    const { value, fault } = checkJson(z.array(Note), text)
    if (value) return new OwnDeployments(planner, place, value)
    throw new ScissionError(
      'badRequest',
      `output: ${place.folder}: ${DEPLOYMENTS_FILE}: ${fault}; take down what it names (scission undeploy), then remove it`,
    )
  }

  /** A name that no deployment has, noted for one of this plan. */
  async name(plan: string): Promise<string> {
    const name = `experiment-${randomBytes(8).toString('hex')}`
    if (await this.#found(name)) return this.name(plan)
    await this.#write([...this.#notes, { name, plan, planner: hidePasswords(this.#planner.baseUrl) }])
    return name
  }

  /** Notes that it was made. */
  async made({ id, createdAt }: Pick<DeploymentView, 'id' | 'createdAt'>): Promise<void> {
    await this.#write(this.#notes.map((note) => (note.name === id ? { ...note, createdAt } : note)))
  }

  /**
   * Takes down all that are noted.
   * @param say tells the user what became of each.
   * @returns what went wrong, if one may still be there: it stays noted.
   */
  async takeDown(say: (text: string) => void = () => undefined): Promise<ScissionError | undefined> {
    const failed: string[] = []
    const left: Note[] = []
    for (const note of this.#notes) {
      try {
        say(this.#told(note, await this.#end(note)))
      } catch (thrown) {
        left.push(note)
        failed.push(`${note.name}: ${coerceError(thrown).message}`)
      }
    }
    try {
      if (this.#notes.length > 0) await this.#write(left)
    } catch (thrown) {
      failed.push(coerceError(thrown).message)
    }
    if (left.length > 0)
      return new ScissionError(
        'conflict',
        `take these down yourself (scission undeploy): ${failed.join('; ')}`,
      )
    if (failed.length > 0) return new ScissionError('internal', failed.join('; '))
    return undefined
  }

  #told({ name, planner }: Note, end: Ended): string {
    if (end === 'takenDown') return `${name}, which an earlier run left, is taken down`
    if (end === 'another')
      return `${name}, which an earlier run left, is gone; another deployment has its name now, and is left alone`
    if (planner === hidePasswords(this.#planner.baseUrl))
      return `${name}, which an earlier run noted, is gone`
    return `${name} was made at ${planner}, and this planner does not know it: if it is still there, take it down yourself`
  }

  async #end({ name, plan, createdAt }: Note): Promise<Ended> {
    const found = await this.#found(name)
    if (!found) return 'gone'
    if (found.planId !== plan || (createdAt !== undefined && found.createdAt !== createdAt)) return 'another'
    const isThere = await thereIs(this.#planner.undeploy(name).then(() => true))
    return isThere ? 'takenDown' : 'gone'
  }

  #found(name: string): Promise<DeploymentView | undefined> {
    return thereIs(this.#planner.deployment(name))
  }

  async #write(notes: Note[]): Promise<void> {
    this.#place.lock.assertHeld()
    const file = path.join(this.#place.folder, DEPLOYMENTS_FILE)
    if (notes.length === 0) await rm(file, { force: true })
    else {
      await writeWhole(file, `${JSON.stringify(notes, null, 2)}\n`)
      await keepNames(this.#place.folder)
    }
    this.#notes = notes
  }
}

/** @returns undefined if the planner says that there is none. */
async function thereIs<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (thrown) {
    if (thrown instanceof ScissionError && thrown.code === 'notFound') return undefined
    throw thrown
  }
}

/** What a file is called is on the disk with its folder, which outlasts a loss of power. */
async function keepNames(folder: string): Promise<void> {
  // Windows opens no folders; it keeps names with their files.
  if (process.platform === 'win32') return
  const opened = await open(folder, 'r')
  try {
    await opened.sync()
  } finally {
    await opened.close()
  }
}
