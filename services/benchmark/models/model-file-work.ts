/** Work that reads a whole model file: describing an upload, writing layer ranges. Large files take seconds. */
import fs from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import {
  type CanonicalModel,
  describeModel,
  type ModelDescription,
  openCanonical,
  type StructureLimits,
  writeRange,
} from '../../../shared/onnx/index.ts'
import type { RangeFile } from '../../../shared/onnx/structure/write-range.ts'
import { externalExtents, firstMissing } from '../../../shared/onnx/wire/external-extents.ts'

export interface RangeToWrite {
  canonical: string
  from: number
  to: number
  /** Path of the sub-model. */
  file: string
}

export type ModelFileWork =
  | { kind: 'describe'; file: string; limits: StructureLimits }
  | { kind: 'write'; range: RangeToWrite }
  | { kind: 'check'; file: string; weights: RangeManifest['weights'] }

export type ModelFileResult =
  | { kind: 'description'; description: ModelDescription }
  | { kind: 'written'; range: RangeFile }
  | { kind: 'checked'; isListed: boolean }

/** @throws ScissionError as describeModel and writeRange. */
export async function workOnModelFile(work: ModelFileWork): Promise<ModelFileResult> {
  switch (work.kind) {
    case 'describe':
      return { kind: 'description', description: await describeModel(work.file, work.limits) }
    case 'write': {
      const { canonical, from, to, file } = work.range
      return { kind: 'written', range: await writeRange(await opened(canonical), from, to, file) }
    }
    case 'check':
      return { kind: 'checked', isListed: await isListed(work.file, work.weights) }
  }
}

/** Ranges of one model are usually requested in a row. */
const MAX_OPEN_COUNT = 4
const open = new LRUCache<string, { changedMs: number; model: CanonicalModel }>({ max: MAX_OPEN_COUNT })

/** The file is written again when its model is analysed again. */
async function opened(canonical: string): Promise<CanonicalModel> {
  const { mtimeMs: changedMs } = await fs.stat(canonical)
  const known = open.get(canonical)
  if (known?.changedMs === changedMs) return known.model
  const model = await openCanonical(canonical)
  open.set(canonical, { changedMs, model })
  return model
}

/** Tells whether all bytes that a sub-model refers to are in the chunks. */
async function isListed(file: string, weights: RangeManifest['weights']): Promise<boolean> {
  const files = weights.map((one) => ({ ...one, held: new Set(one.chunks.map(({ index }) => index)) }))
  return firstMissing(externalExtents(await fs.readFile(file)), files) === undefined
}
