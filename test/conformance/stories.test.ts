/** Plays each story on its own service: the answers of a server before and after its state changed. */
import { afterAll, beforeAll, describe, it } from 'vitest'
import { startUnready, type TestService } from '../inference/support/service.ts'
import { branchedModel, singleLayerModel, toyEngine, toySpec } from '../inference/support/toy-models.ts'
import { withToyService } from '../inference/support/toy-service.ts'
import type { Story } from './conversation.ts'
import { play } from './play.ts'
import { COUNTING, FAILED_LOAD, LOADING, NEVER_ASKED, STARTING, STOPPING, TWO_VERSIONS } from './stories.ts'

const m = (id: string, version = 1) =>
  singleLayerModel(id, 'm', toySpec('x', 'FP32', [1, 4]), (x) => x, { version })

function tell({ name, turns }: Story, url: () => string): void {
  describe(name, () => {
    for (const [index, turn] of turns.entries()) it(`${index + 1}. ${turn.name}`, () => play(url(), turn))
  })
}

describe('on a server of its own', () => {
  describe('with a model of three layers', () => {
    const toy = withToyService([branchedModel('a')])
    tell(LOADING, () => toy.service.url)
  })

  describe('with a model that cannot be loaded', () => {
    const model = branchedModel('a', { name: 'broken' })
    const toy = withToyService([model])
    beforeAll(() => void toy.engine.failLoads.set(model.model.id, 'node conv1: no such operator'))
    tell(FAILED_LOAD, () => toy.service.url)
  })

  for (const story of [COUNTING, NEVER_ASKED]) {
    describe('with one model', () => {
      const toy = withToyService([m('a')])
      tell(story, () => toy.service.url)
    })
  }

  describe('with two versions of a model', () => {
    const toy = withToyService([m('a'), m('b', 2)])
    tell(TWO_VERSIONS, () => toy.service.url)
  })

  describe('without Redis', () => {
    let service: TestService
    beforeAll(async () => {
      service = await startUnready('redis://127.0.0.1:1', { SCISSION_RESOURCE: 'device' }, toyEngine([]))
    })
    afterAll(() => service.stop())
    tell(STARTING, () => service.url)
  })

  describe('after it was told to stop', () => {
    const toy = withToyService([m('a')])
    beforeAll(() => toy.service.leave())
    tell(STOPPING, () => toy.service.url)
  })
})
