/**
 * The cost of profiles: three of each network of the zoo, and between them the original's method once, timing it block by
 * block. The profile benchmark shows the same of its models; this takes minutes, that takes an hour.
 */
import { median } from '../../shared/platform/statistics.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { profileModel } from '../../services/inference/jobs/profiler/profile-model.ts'
import type { Benchmark, BenchOptions, Result } from './bench.ts'
import { timeBlocks, timeStart } from './profile-blocks.ts'
import { type Costed, costs } from './profile-figures.ts'
import { type BenchModel, prepare, sources } from './profile-models.ts'

const OPTIONS = { threads: 1, optimisation: 'all' } as const
const PROFILES = 3

export const profileCost: Benchmark = {
  name: 'profile-cost',
  title: 'What profiles cost, beside timing block by block',
  run,
}

async function run(say: (text: string) => void, options: BenchOptions = {}): Promise<Result> {
  const only = options.models?.split(',') ?? []
  const folder = mkdtempSync(path.join(os.tmpdir(), 'scission-bench-'))
  const results: Costed[] = []
  try {
    for (const source of sources(only).filter(({ zoo }) => zoo)) {
      const model = await prepare(source, folder)
      // The first of a service measures its codecs and its copies as well.
      if (results.length === 0) await profileModel(requestOf(model))
      const result = await costOf(model)
      results.push(result)
      rmSync(path.join(folder, source.name), { recursive: true, force: true })
      say(line(result))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return { figures: costs(results), raw: results }
}

async function costOf(model: BenchModel): Promise<Costed> {
  const request = requestOf(model)
  const profiles = [await profileModel(request)]
  const blocks = await timeBlocks(model)
  const startMs = await timeStart(model.structure)
  while (profiles.length < PROFILES) profiles.push(await profileModel(request))
  const wholeMs = median(profiles.map(({ whole }) => whole.medianMs))
  const { name, zoo } = model
  return { name, zoo, wholeMs, blocks, startMs, quiet: { profiles: profiles.map(({ cost }) => ({ cost })) } }
}

const requestOf = ({ whole, structure }: BenchModel) => ({ path: whole, structure, options: OPTIONS })

function line({ name, wholeMs, blocks, startMs = 0, quiet: { profiles } }: Costed): string {
  const list = (of: 'totalMs' | 'inferences') => profiles.map(({ cost }) => cost?.[of].toFixed(0)).join(' ')
  const baseline = `${(blocks.tookMs + startMs).toFixed(0)} ms of which ${startMs.toFixed(0)} to start a process`
  return `${name} ${wholeMs.toFixed(1)} ms: ${list('totalMs')} ms = ${list('inferences')} runs; block by block ${baseline}`
}
