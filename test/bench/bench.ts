/** The form of a benchmark, and the statistics that they share. They print ratios within one run and never fail a test. */
import os from 'node:os'

export interface Figure {
  name: string
  value: number
  unit: string
  /** The required value; null if the figure is only for comparison. */
  floor: number | null
  better: 'lower' | 'higher'
  /** Whether the value is at least as good as the floor; null without one. */
  ok: boolean | null
  /** The same measured on the obvious alternative, in the same run. */
  baseline?: { name: string; value: number }
}

export interface Result {
  figures: Figure[]
  /** Every sample behind the figures. */
  raw: unknown
}

/** Options of the command line; most benchmarks use none of them. */
export interface BenchOptions {
  /** Names, separated by commas: only these models. */
  models?: string | undefined
  /** How many cuts of each. */
  cuts?: string | undefined
  /** Names, separated by commas: only under these conditions. */
  conditions?: string | undefined
  /** False: not while another process keeps a core busy. */
  busy?: boolean | undefined
  record?: boolean | undefined
  /** Of made models: the first one's seed, how many, and the folder for those that show a fault. */
  seed?: number | undefined
  count?: number | undefined
  keep?: string | undefined
  /** Of the fuzzer: only this target, and one input of it in base64. */
  target?: string | undefined
  replay?: string | undefined
}

export interface Benchmark {
  name: string
  title: string
  run: (say: (text: string) => void, options?: BenchOptions) => Promise<Result>
}

export function figure(
  name: string,
  value: number,
  unit: string,
  better: Figure['better'],
  floor: number | null,
  baseline?: Figure['baseline'],
): Figure {
  const ok = floor === null ? null : better === 'lower' ? value <= floor : value >= floor
  return { name, value, unit, floor, better, ok, ...(baseline && { baseline }) }
}

export function machine(): Record<string, unknown> {
  const cpus = os.cpus()
  return {
    cpuModel: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
    memoryBytes: os.totalmem(),
    platform: `${os.platform()} ${os.arch()}`,
    node: process.version,
    loadAverage1: os.loadavg()[0],
  }
}
