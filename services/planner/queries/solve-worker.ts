/** Entry of the solver's worker thread, which solves one question after another. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { solve, type Solutions, type Work } from './solve.ts'

serveWork<Work, Solutions[Work['kind']]>(solve)
