/** Documents and notices as they come out of Redis, by their schemas. */
import type { z } from 'zod'
import { Condition } from '../../../shared/contracts/condition.ts'
import { KeyRecord } from '../../../shared/contracts/key.ts'
import { Model, Structure } from '../../../shared/contracts/model.ts'
import { asPlainDocument, PlainDocument } from '../../../shared/contracts/plain-import.ts'
import { Resource } from '../../../shared/contracts/resource.ts'
import { SensibleDeployment, SensibleLink, SensibleProfile } from '../../../shared/contracts/sense.ts'
import { Calibration } from '../../../shared/contracts/calibration.ts'
import { checkJson } from '../../../shared/platform/outside-input.ts'
import {
  exampleCalibration,
  exampleDeployment,
  exampleLink,
  exampleModel,
  exampleProfile,
  exampleResource,
  exampleStructure,
} from '../../support/fixtures.ts'
import { PURE, type Target, text } from '../target.ts'

const SCHEMAS: readonly z.ZodType[] = [
  Model,
  Structure,
  Resource,
  SensibleLink,
  SensibleProfile,
  SensibleDeployment,
  Calibration,
  Condition,
  KeyRecord,
  PlainDocument,
]

/** By the collection that holds them: what the tests of the services write. */
export const exampleDocuments = (): Record<string, Record<string, unknown>> => {
  const profile = exampleProfile('device', [1, 2, 3, 4])
  const structure = exampleStructure()
  const hops = [
    { resource: 'device', from: 0, to: 2 },
    { resource: 'edge', from: 2, to: 4 },
  ]
  return {
    models: { [exampleModel().id]: exampleModel() },
    structures: { [`${structure.model}.${structure.shapesKey}`]: structure },
    resources: { device: exampleResource('device'), edge: exampleResource('edge') },
    links: { 'device>edge': exampleLink('device', 'edge') },
    profiles: {
      [profile.id]: profile,
      [exampleProfile('edge', [1, 1, 1, 1]).id]: exampleProfile('edge', [1, 1, 1, 1]),
    },
    deployments: { split: exampleDeployment('split', hops) },
    calibrations: { c1: exampleCalibration('c1') },
  }
}

export const plain = () => ({
  machines: [{ name: 'lab-pi', tier: 'device' }],
  links: [{ from: 'lab-pi', to: 'lab-server', rttMs: 20, bandwidthMbps: 8 }],
  profiles: [{ model: 'chain', resource: 'lab-pi', layerMs: [1.5, 2, 0.5, 1] }],
})

export const documents: Target = {
  name: 'documents',
  share: 8,
  sample: 600,
  ...PURE,
  open: () => ({
    seeds: [...Object.values(exampleDocuments()).flatMap((of) => Object.values(of)), plain()].map(text),
    run: (input) => {
      const given = Buffer.from(input).toString()
      for (const schema of SCHEMAS) checkJson(schema, given)
      try {
        asPlainDocument(JSON.parse(given))
      } catch (thrown) {
        if (!(thrown instanceof SyntaxError)) throw thrown
      }
    },
  }),
}
