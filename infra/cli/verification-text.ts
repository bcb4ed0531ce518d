/** What a deployment's verification found, in one line for each comparison. */
import { formatInputShapes } from '../../shared/contracts/format-input-shapes.ts'
import { formatDifference } from '../terminal/format.ts'
import type { Comparison, Verification } from '../../shared/contracts/verification.ts'

export function verificationText(verification: Verification | undefined): string {
  if (!verification || verification.outcome === 'off') return 'not verified'
  const { outcome, reason, against, input, comparisons } = verification
  if (outcome === 'impossible') return `could not be verified: ${reason}`
  const sizes = new Set(comparisons.map(({ inputShapes }) => inputShapes && formatInputShapes(inputShapes)))
    .size
  const inputs = sizes === 1 ? `one ${input} input` : `${input} inputs of ${sizes} sizes`
  const title = `verified with ${inputs} against the whole model on ${against}`
  const left = outcome === 'equal' && reason !== undefined ? [`  ${reason}`] : []
  return [title, ...comparisons.map(comparisonText), ...left].join('\n')
}

const MEASURES = {
  relativeDiff: 'relative to the largest value',
  relativeError: 'relative to all values, root mean square',
} as const

/** For a table: `equal, off by 1.2e-7`. */
export function shortVerification(verification: Verification | undefined): string {
  if (!verification || verification.outcome === 'off') return 'not verified'
  const { outcome, comparisons } = verification
  const last = comparisons.at(-1)
  return last ? `${outcome}, ${offBy(last)}` : outcome
}

function comparisonText(comparison: Comparison): string {
  const path = comparison.path === 'exact' ? 'without lossy codecs' : 'as planned'
  const { outputs, measure, equal, inputShapes } = comparison
  const sizes = inputShapes ? ` with ${formatInputShapes(inputShapes)}` : ''
  const allowed = Math.max(0, ...outputs.map(({ tolerance }) => tolerance ?? 0))
  const notes = [...new Set(outputs.flatMap(({ note }) => note ?? []))].map((note) => `\n    ${note}`)
  const verdict = equal ? 'equal' : 'DIFFERENT'
  return `  ${path}${sizes}: ${verdict}, ${offBy(comparison)} ${MEASURES[measure]}, where ${allowed === 0 ? 'nothing' : allowed.toExponential(0)} is allowed${notes.join('')}`
}

function offBy({ outputs, measure }: Comparison): string {
  const figures = outputs.filter(({ compared }) => compared === 'values').map((output) => output[measure])
  if (figures.length === 0) return 'only types and shapes compared'
  return `off by ${formatDifference(Math.max(...figures.map((figure) => figure ?? Infinity)))}`
}
