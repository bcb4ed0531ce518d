/** Everything that is fuzzed. */
import type { Target } from './target.ts'
import { codecs } from './targets/codecs.ts'
import { doors, handshakes } from './targets/doors.ts'
import { documents } from './targets/documents.ts'
import { numpy, onnx, originals, pickles } from './targets/files.ts'
import { answers, forms } from './targets/http-bytes.ts'
import { jobs } from './targets/jobs.ts'
import { redisDocuments } from './targets/redis.ts'
import { requests, wires } from './targets/requests.ts'
import { binaryMessages, jsonMessages } from './targets/messages.ts'
import { traces } from './targets/traces.ts'
import { credentials, providerTokens, queries } from './targets/texts.ts'

export const TARGETS: readonly Target[] = [
  jsonMessages,
  binaryMessages,
  codecs,
  onnx,
  numpy,
  pickles,
  originals,
  documents,
  queries,
  credentials,
  providerTokens,
  forms,
  answers,
  requests,
  wires,
  redisDocuments,
  traces,
  doors,
  handshakes,
  jobs,
]
