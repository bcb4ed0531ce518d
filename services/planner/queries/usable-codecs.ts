/** Which codecs a question is planned with, by the calibrations of its model. */
import type { Problem } from '../../../shared/planning/index.ts'
import type { MirroredCalibration } from '../knowledge/mirrored-documents.ts'

interface Cell {
  boundary: number
  bytesRatio: number
  accuracyLoss: number
  calibration: MirroredCalibration
}

/**
 * For each codec and boundary, uses the newest calibration on real samples, or on made-up samples if there is no other.
 * Its bytes and accuracy hold on every resource. The accuracy loss is the upper 95 % bound.
 */
export function codecsOf(
  calibrations: Iterable<MirroredCalibration>,
  model: string,
  shapesKey: string,
): { codecs: NonNullable<Problem['codecs']>; notes: string[] } {
  const own = calibrationsOf(calibrations, model, shapesKey)
  const cells = new Map<string, Map<number, Cell>>()
  for (const calibration of own) {
    for (const { boundary, codec, bytesRatio, lossBound } of calibration.cells) {
      const known = cells.get(codec) ?? new Map<number, Cell>()
      cells.set(codec, known.set(boundary, { boundary, bytesRatio, accuracyLoss: lossBound, calibration }))
    }
  }
  // The codec `none` is always available.
  cells.delete('none')
  const codecs = [...cells]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, byBoundary]) => ({
      name,
      cells: [...byBoundary.values()]
        .sort((a, b) => a.boundary - b.boundary)
        .map(({ boundary, bytesRatio, accuracyLoss }) => ({ boundary, bytesRatio, accuracyLoss })),
    }))
  return { codecs, notes: notesOf(cells) }
}

/** The completed calibrations of a model: of two that state the same, the later in the list counts. */
export const calibrationsOf = (
  calibrations: Iterable<MirroredCalibration>,
  model: string,
  shapesKey: string,
): MirroredCalibration[] =>
  [...calibrations]
    .filter((one) => one.model === model && one.shapesKey === shapesKey && one.state === 'completed')
    .sort((a, b) => Number(isReal(a)) - Number(isReal(b)) || (a.createdAt < b.createdAt ? -1 : 1))

const isReal = ({ sampleSource }: MirroredCalibration) => sampleSource !== 'made-up'

function notesOf(cells: ReadonlyMap<string, ReadonlyMap<number, Cell>>): string[] {
  const used = new Set(
    [...cells.values()].flatMap((one) => [...one.values()].map((cell) => cell.calibration)),
  )
  const madeUp = [...used].filter((calibration) => !isReal(calibration))
  if (madeUp.length === 0) return []
  const ids = madeUp.map((calibration) => calibration.id).join(', ')
  return [
    `codecs were calibrated on made-up samples (${ids}): their accuracy losses say little about real inputs`,
  ]
}
