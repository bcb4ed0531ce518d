/**
 * The two files that ONNX Runtime writes about a session: the profiler's events and the optimised graph.
 *
 * Events: one per kernel and run, in whole microseconds, so a node's figure is a mean over several runs. The bodies of
 * If, Loop and Scan have events of their own inside the interval of the node that runs them; these are left out because
 * they are part of its time.
 *
 * The optimised graph is what runs after fusions and layout changes (`optimizedModelFilePath`). A session puts all
 * weights into a second file, which is not needed and is as large as the model: if the system allows, it is a link
 * to /dev/null, so that nothing is written.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import { fieldsOf, textOf, type WireField } from '../../../../shared/onnx/wire/protobuf.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { lowMean } from '../../../../shared/platform/statistics.ts'
import { withSessionExtra } from './cut-model.ts'

/** The time of one node of the optimised graph. */
export interface NodeTime {
  name: string
  op: string
  /** Time per run. */
  ms: number
  /** ms of each run after the warm-up. */
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

/** Checked by hand: the measuring process should start quickly, and loading a schema library takes 0.2 s. */
function isEvent(value: unknown): value is Event {
  const event = value as Partial<Record<keyof Event, unknown>> | null
  return (
    typeof event === 'object' &&
    typeof event?.cat === 'string' &&
    typeof event.name === 'string' &&
    typeof event.ts === 'number' &&
    typeof event.dur === 'number' &&
    isOfNode(event.args)
  )
}

function isOfNode(args: unknown): boolean {
  const op = (args as { op_name?: unknown } | null | undefined)?.op_name
  return op === undefined || typeof op === 'string'
}

function parseEvents(text: string): Event[] {
  const events: unknown = JSON.parse(text)
  if (Array.isArray(events) && events.every(isEvent)) return events
  throw new ScissionError(
    'internal',
    "ONNX Runtime's profile is not a list of events with cat, name, ts and dur, and the names of their operators",
  )
}

/**
 * Reads the times of nodes from the profiler's events.
 * @param text ONNX Runtime's file, in the Chrome trace format
 * @param runs number of runs in it
 * @param skip number of leading warm-up runs, which do not count
 */
export function readEvents(text: string, runs: number, skip = 0): NodeTime[] {
  const rest = afterRuns(text, skip)
  return rest === undefined ? timesIn(text, runs, skip) : timesIn(rest, runs - skip, 0)
}

/** At the end of a run ONNX Runtime writes an event of this name, on a line of its own. */
const RUN_ENDS = '"name" :"model_run"'

/**
 * The events after so many runs: of a network of a thousand nodes those of one run take ten milliseconds to parse.
 * @returns undefined if the text does not tell the runs apart.
 */
function afterRuns(text: string, runs: number): string | undefined {
  let from = 0
  for (let run = 0; run < runs; run++) {
    const end = text.indexOf(RUN_ENDS, from)
    from = end < 0 ? 0 : text.indexOf('\n', end) + 1
    if (from === 0) return undefined
  }
  return from === 0 ? text : `[${text.slice(from)}`
}

function timesIn(text: string, runs: number, skip: number): NodeTime[] {
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
    // A name shared by several nodes has several events per run: their sum counts.
    const perRun = Math.max(1, Math.round(durations.length / runs))
    const counted = durations.slice(skip * perRun)
    const samplesMs = Array.from({ length: Math.ceil(counted.length / perRun) }, (_, run) =>
      counted.slice(run * perRun, (run + 1) * perRun).reduce((sum, duration) => sum + duration / 1000, 0),
    )
    return { name, op, ms: (lowMean(counted) * perRun) / 1000, samplesMs }
  })
}

/** Events that are not inside the event of a control-flow node, in order of time. */
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

/** A node of the optimised graph; names of tensors are ONNX Runtime's, often but not always the model's. */
export interface OptimisedNode {
  name: string
  op: string
  inputs: string[]
  outputs: string[]
}

const GRAPH = 'optimised.onnx'
const WEIGHTS = 'optimised.weights'

/** Session options to save the optimised graph into the empty folder `folder`. */
export function savingOptions(
  folder: string,
  options: InferenceSession.SessionOptions,
): InferenceSession.SessionOptions {
  if (process.platform !== 'win32') fs.symlinkSync('/dev/null', path.join(folder, WEIGHTS))
  return withSessionExtra(
    { ...options, optimizedModelFilePath: path.join(folder, GRAPH) },
    {
      optimized_model_external_initializers_file_name: WEIGHTS,
      optimized_model_external_initializers_min_size_in_bytes: '1',
    },
  )
}

/** Nodes of the saved graph in topological order. @throws Error if ONNX Runtime has not written the file. */
export function readOptimisedGraph(folder: string): OptimisedNode[] {
  const model = fs.readFileSync(path.join(folder, GRAPH))
  const inside = (fields: readonly WireField[], wanted: number) =>
    fields.filter(({ field }) => field === wanted).map(({ from, to }) => fieldsOf(model, from, to))
  return inside(fieldsOf(model), MODEL_GRAPH)
    .flatMap((graph) => inside(graph, GRAPH_NODE))
    .map((node) => nodeOf(model, node))
}

/** Field numbers of onnx.proto. */
const MODEL_GRAPH = 7
const GRAPH_NODE = 1
const NODE = { input: 1, output: 2, name: 3, op: 4 } as const

function nodeOf(model: Uint8Array, fields: readonly WireField[]): OptimisedNode {
  const texts = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).map((field) => textOf(model, field))
  const present = (name: string) => name !== ''
  return {
    name: texts(NODE.name).at(-1) ?? '',
    op: texts(NODE.op).at(-1) ?? '',
    inputs: texts(NODE.input).filter(present),
    outputs: texts(NODE.output).filter(present),
  }
}
