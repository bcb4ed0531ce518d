/**
 * The threads of one large stage: a session that takes long to create is created where nobody else waits. They compute in turn
 * with all other threads (run-turns.ts).
 */
import { ExecutorThread, type ThreadSettings } from './executor-thread.ts'
import type { SessionSource } from './session-runner.ts'
import { chooseOf } from './shared-threads.ts'

export class OwnThreads {
  readonly #most: number
  readonly #settings: ThreadSettings
  /** They have the session, or will have it again after they died. */
  readonly threads: ExecutorThread[] = []
  /** Has no session yet. */
  #coming: ExecutorThread | undefined

  /** @param most threads that the stage may have: more could not compute at the same time. */
  constructor(most: number, settings: ThreadSettings) {
    this.#most = most
    this.#settings = settings
  }

  /** Loads the stage on one more thread. @returns the names of the session's inputs. */
  async load(source: SessionSource): Promise<string[]> {
    const thread = new ExecutorThread(this.#settings)
    this.#coming = thread
    try {
      const names = await thread.load(source)
      this.threads.push(thread)
      return names
    } catch (error) {
      await thread.close()
      throw error
    } finally {
      this.#coming = undefined
    }
  }

  /** The thread for the next run. If all have something to do, one more gets the stage meanwhile. */
  choose(source: SessionSource): ExecutorThread {
    const chosen = chooseOf(this.threads, source.key)
    if (chosen.pending > 0 && !this.#coming && this.threads.length < this.#most)
      // The stage was loaded before: those that it has can do without another one.
      this.load(source).catch(() => undefined)
    return chosen
  }

  /** Ends the threads after the runs that were given to them. */
  async unload(key: string): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.unload(key)))
    await this.close()
  }

  /** As ExecutorThread.close. */
  async close(): Promise<void> {
    const all = [...this.threads, ...(this.#coming ? [this.#coming] : [])]
    await Promise.all(all.map((thread) => thread.close()))
  }
}
