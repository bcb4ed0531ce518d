/** Profiles kept on disk, although the connection that reads them came back later than the one that hears of changes. */
import { access } from 'node:fs/promises'
import path from 'node:path'
import { expect, it, vi } from 'vitest'
import { KeptDocuments } from '../../../services/benchmark/models/kept-documents.ts'
import { ModelStore } from '../../../services/benchmark/models/model-store.ts'
import { Registry } from '../../../services/benchmark/models/registry.ts'
import { OWN_MARK } from '../../../shared/contracts/file-names.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { eventually } from '../../support/eventually.ts'
import { exampleModel, exampleProfile } from '../../support/fixtures.ts'
import { withFolder } from '../../support/folder.ts'
import { withTestRedis } from '../../support/redis.ts'

const log = createLog('test', 'silent')
const redis = withTestRedis()
const folder = withFolder('kept-documents')

it('are compared with Redis again until that was possible', async () => {
  const state = redis().openState()
  const store = new ModelStore(folder(), log)
  await store.open()
  const { name: _name, version: _version, ...record } = exampleModel()
  await new Registry(store, state, log).add(
    { folder: await store.newIncoming(), chunks: {}, record },
    'chain',
  )
  // Written while nobody kept it.
  const profile = exampleProfile('edge', [1, 2, 3, 4])
  await state.profiles.put(profile.id, profile)
  const away = vi.spyOn(state.memory, 'look').mockRejectedValueOnce(new Error("Stream isn't writeable"))
  const kept = new KeptDocuments(store, state, log, async () => undefined)
  const file = path.join(
    store.folder(record.id),
    `kept${OWN_MARK}documents`,
    'profiles',
    `${profile.id}.json`,
  )
  await eventually(() => access(file))
  expect(away.mock.calls.length).toBeGreaterThan(1)
  await kept.close()
})
