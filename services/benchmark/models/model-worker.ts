/** Entry of the thread that reads large model files. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { workOnModelFile } from './model-file-work.ts'

serveWork(workOnModelFile)
