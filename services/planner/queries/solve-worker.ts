/** Entry of the solver's worker thread, which solves one question after another. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { solve, type Solutions, type Work } from './solver.ts'

serveWork<Work, Solutions[Work['kind']]>(solve)
