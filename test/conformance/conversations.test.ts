import { describe, it } from 'vitest'
import { branchedModel, singleLayerModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import { AT_THE_EDGES } from './conversations-at-the-edges.ts'
import { COMPRESSED } from './conversations-compressed.ts'
import { OF_FLOATS } from './conversations-of-floats.ts'
import { CONVERSATIONS } from './conversations.ts'
import { play } from './play.ts'

const toy = withToyService([
  branchedModel('a'),
  singleLayerModel('b', 'm', toySpec('x', 'FP32', [1, 4]), (x) => x),
  singleLayerModel('c', 'words', toySpec('x', 'BYTES', [1]), (x) => x),
  singleLayerModel('d', 'scores', toySpec('x', 'FP16', [1, 2]), (x) => x),
  singleLayerModel('e', 'cold', toySpec('x', 'FP32', [1]), (x) => x),
])

describe('a recorded conversation', () => {
  for (const conversation of [...CONVERSATIONS, ...AT_THE_EDGES, ...COMPRESSED, ...OF_FLOATS]) {
    it(`goes as written: ${conversation.name}`, () => play(toy.service.url, conversation))
  }
})
