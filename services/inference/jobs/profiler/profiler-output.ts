/**
 * Reads the file that ONNX Runtime's profiler writes: one event per kernel and run, in microseconds.
 *
 * The bodies of If, Loop and Scan have events of their own, inside the interval of the node that runs them: those are
 * part of its time and left out. Times are whole microseconds, so a node's figure is a mean over several runs.
 */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { lowMean } from '../../../../shared/platform/statistics.ts'

/** The time of one node of the optimised graph. */
export interface NodeTime {
  name: string
  op: string
  /** Per run. */
  ms: number
  /** Of each run that counts. */
  samplesMs?: number[]
}

const KERNEL = '_kernel_time'
const CONTROL_FLOW = new Set(['If', 'Loop', 'Scan'])

interface Event {
  cat: string
  name: string
  /** Start and duration in µs. */
  ts: number
  dur: number
  args?: { op_name?: string }
}

/** By hand: the process that measures should start quickly, and a schema library takes a fifth of a second to load. */
function isEvent(value: unknown): value is Event {
  const event = value as Partial<Record<keyof Event, unknown>> | null
  return (
    typeof event === 'object' &&
    typeof event?.cat === 'string' &&
    typeof event.name === 'string' &&
    typeof event.ts === 'number' &&
    typeof event.dur === 'number'
  )
}

function parseEvents(text: string): Event[] {
  const events: unknown = JSON.parse(text)
  if (Array.isArray(events) && events.every(isEvent)) return events
  throw new ScissionError(
    'internal',
    "ONNX Runtime's profile is not a list of events with cat, name, ts and dur",
  )
}

/**
 * @param text what ONNX Runtime wrote: the Chrome trace format
 * @param runs how many runs it covers; `skip` of them, from the start, warmed the session up and do not count
 */
export function readEvents(text: string, runs: number, skip = 0): NodeTime[] {
  const events = parseEvents(text)
  const kernels = outermost(events.filter((event) => event.cat === 'Node' && event.name.endsWith(KERNEL)))
  const byNode = new Map<string, { op: string; durations: number[] }>()
  for (const event of kernels) {
    const name = event.name.slice(0, -KERNEL.length)
    const node = byNode.get(name) ?? { op: event.args?.op_name ?? '', durations: [] }
    node.durations.push(event.dur)
    byNode.set(name, node)
  }
  return [...byNode].map(([name, { op, durations }]) => {
    // A name that several nodes share has several events per run: their sum is what counts.
    const perRun = Math.max(1, Math.round(durations.length / runs))
    const counted = durations.slice(skip * perRun)
    const samplesMs = Array.from({ length: Math.ceil(counted.length / perRun) }, (_, run) =>
      counted.slice(run * perRun, (run + 1) * perRun).reduce((sum, duration) => sum + duration / 1000, 0),
    )
    return { name, op, ms: (lowMean(counted) * perRun) / 1000, samplesMs }
  })
}

/** Events that lie in none of a control-flow node, in order of time. */
function outermost(events: readonly Event[]): Event[] {
  const ordered = events.toSorted((a, b) => a.ts - b.ts || b.dur - a.dur)
  let bodiesEnd = Number.NEGATIVE_INFINITY
  return ordered.filter((event) => {
    const end = event.ts + event.dur
    if (end <= bodiesEnd) return false
    if (CONTROL_FLOW.has(event.args?.op_name ?? '')) bodiesEnd = end
    return true
  })
}
