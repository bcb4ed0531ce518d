/**
 * A link that is overridden keeps what was measured or imported beneath, in the same document: one write sets it, one gives it
 * back, and no reader ever finds neither. Pure.
 */
import type { Link, OverriddenLink } from './resource.ts'

function beneath({ samples: _samples, overridden: _none, ...figures }: Link): OverriddenLink {
  return figures
}

/** The document with new figures: an override stays, and they wait beneath it. */
export const withFigures = (current: Link | undefined, found: Link): Link =>
  current?.source === 'override' ? { ...current, overridden: beneath(found) } : found

/** The document with an override, over what is there. */
export function withOverride(current: Link | undefined, override: Link): Link {
  const kept = current?.source === 'override' ? current.overridden : current && beneath(current)
  return kept ? { ...override, overridden: kept } : override
}

/** The document without its override; undefined if there is nothing beneath. What is no override stays. */
export function withoutOverride(current: Link): Link | undefined {
  if (current.source !== 'override') return current
  return current.overridden && { ...current.overridden, samples: [] }
}

/** True if it was measured or imported, whether or not it is overridden. */
export const hasFigures = (link: Link | undefined): boolean =>
  link !== undefined && withoutOverride(link) !== undefined
