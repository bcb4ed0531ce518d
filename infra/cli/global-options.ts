/** Options that stand before or behind any command. */
import { InvalidArgumentError } from 'commander'

export interface GlobalOptions {
  json: boolean
  /** Which of the systems of this machine, as `npm start` was told. */
  portBase?: number
  benchmarkUrl?: string
  plannerUrl?: string
}

/** @throws InvalidArgumentError unless it is 0 or a port that leaves room above it. */
export function portBase(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (value <= 65_000) return value
  throw new InvalidArgumentError('It must be 0 or a port up to 65000, for example --port-base 8080.')
}
