/** Entry of the solver's worker thread, which solves one question after another. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { received, type SentWork, solve, type Solutions, type Work } from './solver.ts'

serveWork<SentWork, Solutions[Work['kind']]>((message) => solve(received(message)))
