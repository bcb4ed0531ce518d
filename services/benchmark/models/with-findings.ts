/** A model's record as answers show it. */
import type { Model, Structure, UploadedModel } from '../../../shared/contracts/model.ts'
import { openDimensions } from './first-shapes.ts'

/** Adds the number of layers and the cuts from the model's structure to its record. */
export function withFindings(model: Model, structure: Structure | null): UploadedModel {
  const inner = structure?.boundaries.slice(1, -1).filter((boundary) => boundary.allowed)
  return {
    ...model,
    layers: structure?.layers.length ?? null,
    cuts: inner
      ? {
          single: inner.filter((boundary) => boundary.single).map((boundary) => boundary.k),
          clean: inner.filter((boundary) => boundary.clean).map((boundary) => boundary.k),
        }
      : null,
    openDimensions: model.inputShapes === null ? openDimensions(model.inputs, {}) : [],
    ...(structure?.warnings && { warnings: structure.warnings }),
  }
}
