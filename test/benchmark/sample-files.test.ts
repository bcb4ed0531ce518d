/** Samples of a calibration on the disk of the service. */
import { statSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { SampleFiles } from '../../services/benchmark/calibrations/sample-files.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('sample-files')

it('are in a folder that no other user of the machine looks into', async () => {
  const dataDir = path.join(folder(), 'data')
  await new SampleFiles(dataDir).keep(
    { calibration: 'one', kind: 'given', count: 1, bytes: 4 },
    new Uint8Array(4),
  )
  expect(statSync(path.join(dataDir, 'calibrations')).mode & 0o077).toBe(0)
})
