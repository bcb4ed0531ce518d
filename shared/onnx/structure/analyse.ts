/**
 * Makes the canonical graph and structure of a model file, in this process.
 *
 * ONNX Runtime runs the user's model here and may crash: services call `analyseInChild`. Only tests and tools that trust
 * the file call this directly.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { InputShapes, ModelId, TensorSpec } from '../../contracts/common.ts'
import type { Samples, Structure } from '../../contracts/model.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { buildBoundaries, type GraphShape } from './boundaries.ts'
import { type CanonicalGraph, canonicalise } from '../canonical/canonicalise.ts'
import { canonicalPaths, writeCanonical, writeStructure } from '../canonical/canonical-file.ts'
import { checkResults } from './check-results.ts'
import { joinLayers } from './join-layers.ts'
import { openCanonical } from './write-range.ts'
import { type CheckedOptimisations, checkOptimisations } from './check-optimisations.ts'
import { optimise } from '../canonical/runtime-optimised.ts'
import { findFusions } from './fusion.ts'
import { buildLayers, specOf } from './layers.ts'
import { ScissionError } from '../../platform/errors.ts'
import { asInvalidModel } from '../runtime/analysis-session.ts'
import type { TypedTensor } from '../wire/element-types.ts'
import { readSamples, samplesFile } from '../sample-inputs/samples.ts'
import { runTrial } from '../trial/trial-run.ts'
import { entryOf } from '../../platform/entry-of.ts'

/** Joining layers may change ONNX Runtime's optimisations once more. */
const MAX_JOINS = 2

export interface AnalyseRequest {
  /** The model's folder. */
  dir: string
  /** The model's file in it. */
  file: string
  /** Id for the structure; the caller computes it. */
  model: ModelId
  /** Needed for inputs with dynamic dimensions. */
  inputShapes?: InputShapes | undefined
  /** Leaves dynamic dimensions open: the structure is then valid for all their sizes, and `inputShapes` are only tried. */
  open?: boolean | undefined
  /** The model's samples, whose file is in its folder; inputs without one are made up. */
  samples?: Samples | undefined
  /** Of the process; without it a model of any size is run in pieces too. */
  memoryLimitBytes?: number | undefined
  /** ms that the analysis may take; comparisons end before that. */
  timeoutMs?: number | undefined
}

/** Share of the time for an analysis after which it begins no further comparison. */
const COMPARING_SHARE = 0.5

/**
 * Analyses a model and writes `<shapesKey>.canonical.onnx` and `<shapesKey>.structure.json` into its folder.
 *
 * @throws ScissionError invalidModel (the message names node and tensor if known), needsInputShapes, badRequest for shapes
 * that contradict the declared ones.
 * @example
 * const structure = await analyse({ dir: 'models/mobilenet', file: 'model.onnx', model: ModelId.parse(sha256) })
 * console.log(structure.layers.length, 'layers')
 */
export async function analyse(request: AnalyseRequest): Promise<Structure> {
  const until = performance.now() + COMPARING_SHARE * (request.timeoutMs ?? Number.POSITIVE_INFINITY)
  const canonical = await canonicalise(request.dir, request.file, request.inputShapes, request.open)
  const { sizes, open } = canonical.graph
  const none = new Map<string, number>()
  const tried = canonical.graph.inputs.map((input) =>
    specOf({ ...input, shape: entryOf(sizes, input.name) ?? [] }, input.name, none),
  )
  const inputs = tried.map((spec, index) => ({
    ...spec,
    shape: canonical.graph.inputs[index]?.shape ?? spec.shape,
  }))
  for (const spec of tried) refuseHuge(spec)
  const trial = await runTrial(canonical, tried, samplesOf(request))
  const seenBytes = new Map<string, number>()
  for (const [name, { shape, bytes }] of trial.seen) {
    const type = canonical.types.get(name)
    if (type) canonical.types.set(name, asSeen(type, shape))
    seenBytes.set(name, bytes)
  }
  const { shapesKey } = canonical.graph
  const paths = canonicalPaths(request.dir, shapesKey)
  const joined: string[] = []
  for (let round = 0; ; round++) {
    const { layers, weightBytes } = buildLayers(canonical, seenBytes)
    const outputs = canonical.graph.outputs.map((name) => specOf(canonical.types.get(name), name, seenBytes))
    const found = await findBoundaries(canonical, { layers, inputs, outputs }, until)
    const structure: Structure = {
      model: request.model,
      shapesKey,
      inputShapes: sizes,
      ...(open && { open }),
      inputs,
      outputs,
      layers,
      boundaries: found.boundaries,
      weightBytes,
      ...(trial.hints ? { inputHints: trial.hints } : {}),
      ...(request.samples ? { samples: request.samples.sha256 } : {}),
    }
    writeCanonical(canonical, paths)
    const model = await openCanonical(paths.canonical, structure)
    const file = canonical.graph.isEndless ? undefined : path.join(request.dir, request.file)
    const { boundaries, changing, warnings } = await checkResults(
      model,
      { file, ...trial },
      {
        suspects: found.changing,
        memoryLimitBytes: request.memoryLimitBytes,
        until,
      },
    )
    if (changing.size > 0 && round < MAX_JOINS) {
      joined.push(...joinLayers(canonical, changing))
      continue
    }
    const all = [...found.warnings, ...warnings, ...joined]
    const checked = { ...structure, boundaries, ...(all.length > 0 ? { warnings: all } : {}) }
    writeStructure(paths, checked)
    return checked
  }
}

/** The type, open where a run contradicts it. Then the names of its dimensions are not to be trusted either. */
function asSeen({ symbols, ...type }: TypedTensor, seen: readonly number[]): TypedTensor {
  const shape = openShape(type.shape, seen)
  const holds = shape.join() === type.shape.join()
  return { ...type, shape, ...(symbols && holds && { symbols }) }
}

/** The inferred shape, open where a run contradicts it; all of it if it has another rank, which was unknown or wrong. */
function openShape(inferred: readonly number[], seen: readonly number[]): number[] {
  if (inferred.length !== seen.length) return seen.map(() => -1)
  return inferred.map((size, axis) => (size === seen[axis] ? size : -1))
}

function samplesOf({ dir, samples }: AnalyseRequest): Tensor[] {
  return samples ? readSamples(fs.readFileSync(path.join(dir, samplesFile(samples))), samples) : []
}

/** Bytes of one input; a larger one cannot be made up to try the model with. */
const MAX_TRIED_BYTES = 2 ** 31

function refuseHuge({ name, shape, bytes }: TensorSpec): void {
  if (bytes <= MAX_TRIED_BYTES) return
  throw new ScissionError(
    'badRequest',
    `input "${name}" with shape [${shape.join(',')}] takes ${bytes} bytes, more than the ${MAX_TRIED_BYTES} that an ` +
      'analysis can try: give a smaller shape',
    { input: name, shape, bytes, limit: MAX_TRIED_BYTES },
  )
}

/** Falls back to open dimensions if ONNX Runtime refuses the fixed ones (see `Graph.fixed`). */
async function findBoundaries(
  canonical: CanonicalGraph,
  shape: GraphShape,
  until: number,
): Promise<CheckedOptimisations> {
  const { graph } = canonical
  try {
    const optimised = await optimise(canonical)
    const boundaries = buildBoundaries(shape, findFusions(canonical, optimised))
    return await checkOptimisations(canonical, boundaries, optimised, until)
  } catch (error) {
    const open = graph.declared.some((input) => input.shape.includes(-1))
    if (!graph.fixed || !open) throw asInvalidModel('runs the model but cannot optimise it', error)
    graph.fixed = false
    return findBoundaries(canonical, shape, until)
  }
}
