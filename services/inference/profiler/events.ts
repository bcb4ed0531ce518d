/**
 * Reads the file that ONNX Runtime's profiler writes: one event per kernel and run, in microseconds.
 *
 * The bodies of If, Loop and Scan have events of their own, inside the interval of the node that runs them: those are
 * part of its time and left out. Times are whole microseconds, so a node's figure is a mean over several runs.
 */
import { z } from 'zod'
import { lowMean } from './statistics.ts'

/** The time of one node of the optimised graph. */
export interface NodeTime {
  name: string
  op: string
  /** Per run. */
  ms: number
}

const KERNEL = '_kernel_time'
const CONTROL_FLOW = new Set(['If', 'Loop', 'Scan'])

const Event = z.object({
  cat: z.string(),
  name: z.string(),
  /** Start and duration in µs. */
  ts: z.number(),
  dur: z.number(),
  args: z.object({ op_name: z.string().optional() }).optional(),
})
type Event = z.infer<typeof Event>

/**
 * @param text what ONNX Runtime wrote: the Chrome trace format
 * @param runs how many runs it covers; `skip` of them, from the start, warmed the session up and do not count
 */
export function readEvents(text: string, runs: number, skip = 0): NodeTime[] {
  const events = z.array(Event).parse(JSON.parse(text))
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
    return { name, op, ms: (lowMean(durations.slice(skip * perRun)) * perRun) / 1000 }
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
