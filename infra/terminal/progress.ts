/** Shows the progress of several tasks at once: bars on a terminal, one line per step otherwise. */
import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import colour from 'picocolors'
import type { BenchmarkProgress } from '../../shared/contracts/profile.ts'

export interface ProgressDisplay {
  update: (name: string, progress: BenchmarkProgress) => void
  stop: () => void
}

/** @param stream receives the bars; standard error by default, so that standard output holds only results. */
export function createProgress(stream: NodeJS.WriteStream = process.stderr): ProgressDisplay {
  return stream.isTTY ? bars(stream) : lines(stream)
}

function bars(stream: NodeJS.WriteStream): ProgressDisplay {
  const multi = new MultiBar(
    { stream, format: '  {name} {bar} {percentage} %  {step}', hideCursor: true, clearOnComplete: true },
    Presets.shades_classic,
  )
  const byName = new Map<string, SingleBar>()
  return {
    update: (name, progress) => {
      let bar = byName.get(name)
      if (!bar) {
        bar = multi.create(100, 0, { name: name.padEnd(10), step: '' })
        byName.set(name, bar)
      }
      const remaining =
        progress.remainingMs === undefined ? '' : `, ${Math.ceil(progress.remainingMs / 1000)} s left`
      bar.update(Math.round(progress.fraction * 100), { step: colour.dim(progress.step + remaining) })
    },
    stop: () => multi.stop(),
  }
}

function lines(stream: NodeJS.WriteStream): ProgressDisplay {
  const last = new Map<string, string>()
  return {
    update: (name, progress) => {
      if (last.get(name) === progress.step) return
      last.set(name, progress.step)
      stream.write(`  ${name}: ${progress.step}\n`)
    },
    stop: () => undefined,
  }
}
