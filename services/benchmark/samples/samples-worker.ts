/** Entry of the thread that reads samples. */
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { readFields, readRequest } from '../calibrations/read-request.ts'
import { readSampleFiles } from './read-samples.ts'
import type { SampleResult, SampleWork } from './sample-reader.ts'

serveWork(async (work: SampleWork): Promise<SampleResult> => {
  switch (work.kind) {
    case 'files':
      return { kind: 'tensors', tensors: await readSampleFiles(work.files, work.limitBytes) }
    case 'request':
      return { kind: 'request', request: readRequest(work.body, work.jsonBytes) }
    case 'fields':
      return { kind: 'request', request: await readFields(work.fields, work.limitBytes) }
  }
})
