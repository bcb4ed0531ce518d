/** Shows the progress of several tasks at once: bars on a terminal, one line per step otherwise. */
import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import colour from 'picocolors'
import type { BenchmarkProgress } from '../../shared/contracts/profile.ts'
import { printableLine } from './printable.ts'
import { terminalWidth } from './wrap.ts'

export interface ProgressDisplay {
  update: (name: string, progress: BenchmarkProgress) => void
  stop: () => void
}

/** @param stream receives the bars; standard error by default, so that standard output holds only results. */
export function createProgress(stream: NodeJS.WriteStream = process.stderr): ProgressDisplay {
  return stream.isTTY ? bars(stream) : lines(stream)
}

/** Room for the name, the percentage and the step beside the bar. */
const MAX_NAME = 24
const MAX_BAR = 40
const MIN_BAR = 5
const BESIDE_BAR = 34

function bars(stream: NodeJS.WriteStream): ProgressDisplay {
  const width = terminalWidth(stream)
  const barsize = Math.max(MIN_BAR, Math.min(MAX_BAR, width - BESIDE_BAR - 10))
  const multi = new MultiBar(
    {
      stream,
      barsize,
      format: '  {name} {bar} {percentage} %  {step}',
      hideCursor: true,
      clearOnComplete: true,
    },
    Presets.shades_classic,
  )
  const byName = new Map<string, SingleBar>()
  return {
    update: (name, progress) => {
      const shown = shortened(name, Math.min(MAX_NAME, Math.floor(width / 4))).padEnd(10)
      let bar = byName.get(name)
      if (!bar) {
        bar = multi.create(100, 0, { name: shown, step: '' })
        byName.set(name, bar)
      }
      const room = Math.max(0, width - shown.length - barsize - 12)
      const step = shortened(stepText(progress), room)
      bar.update(Math.round(progress.fraction * 100), { step: colour.dim(step) })
    },
    stop: () => multi.stop(),
  }
}

function stepText({ step, remainingMs }: BenchmarkProgress): string {
  const remaining = remainingMs === undefined ? '' : `, ${Math.ceil(remainingMs / 1000)} s left`
  return printableLine(step) + remaining
}

const shortened = (text: string, length: number) =>
  text.length <= length ? text : `${text.slice(0, Math.max(0, length - 1))}…`

/** A log says at least this often that there is progress. */
const EVERY_MS = 2000

/** A line for each step, and for a step that takes long. */
function lines(stream: NodeJS.WriteStream): ProgressDisplay {
  const last = new Map<string, string>()
  let saidAt = 0
  return {
    update: (name, progress) => {
      const isNew = last.get(name) !== progress.step
      const now = performance.now()
      if (!isNew && (now - saidAt < EVERY_MS || progress.fraction >= 1)) return
      last.set(name, progress.step)
      saidAt = now
      const how = isNew
        ? printableLine(progress.step)
        : `${stepText(progress)} (${Math.round(progress.fraction * 100)} %)`
      stream.write(`  ${name}: ${how}\n`)
    },
    stop: () => undefined,
  }
}
