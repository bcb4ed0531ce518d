/** A model analysed, and its range 0..N beside it as a resource gets it. */
import path from 'node:path'
import type { InputShapes, ModelId } from '../../../../shared/contracts/common.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import { analyseInChild, canonicalPaths, openCanonical, writeRange } from '../../../../shared/onnx/index.ts'
import { PATIENCE_MS } from '../../../support/patience.ts'

export interface WholeModel {
  path: string
  structure: Structure
}

export async function wholeModel(file: string, inputShapes?: InputShapes): Promise<WholeModel> {
  const dir = path.dirname(file)
  const structure = await analyseInChild({
    dir,
    file: path.basename(file),
    model: 'a'.repeat(64) as ModelId,
    inputShapes,
    timeoutMs: 2 * PATIENCE_MS,
    memoryLimitBytes: 2 ** 32,
  })
  const canonical = await openCanonical(canonicalPaths(dir, structure.shapesKey).canonical)
  const target = path.join(dir, 'whole.onnx')
  await writeRange(canonical, 0, structure.layers.length, target)
  return { path: target, structure }
}
