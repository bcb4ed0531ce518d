/** Entry of the thread that reads what large sub-models refer to. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { referencesIn } from './read-references.ts'

serveWork(referencesIn)
