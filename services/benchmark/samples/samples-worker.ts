/** Entry of the thread that reads samples. */
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { readSampleFiles } from './read-samples.ts'
import type { SampleWork } from './sample-reader.ts'

serveWork(({ files, limitBytes }: SampleWork): Tensor[] => readSampleFiles(files, limitBytes))
