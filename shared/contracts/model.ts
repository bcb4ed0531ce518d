/** A model as it was uploaded, and its structure once its input shapes are fixed. */
import { z } from 'zod'
import {
  byteCount,
  DeclaredTensor,
  InputShapes,
  ModelId,
  Name,
  ShapesKey,
  TensorSpec,
  timestamp,
} from './common.ts'
import { owner } from './quota.ts'

const ModelFile = z.object({
  /** Path relative to the model's folder: `model.onnx`, or the external data file's own location. */
  path: z.string(),
  bytes: byteCount,
  sha256: z.string(),
})

/**
 * Values that a user gave for a model's inputs: it is analysed, measured, checked and demonstrated with them. Inputs that
 * are missing here are made up.
 */
export const Samples = z.object({
  /**
   * Of `inputs` as JSON and of the data: the inputs' elements one after another, in the order of `inputs`, as in a binary
   * message. Identifies the samples.
   */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 hexadecimal digits'),
  bytes: byteCount,
  inputs: z.array(TensorSpec).min(1),
  givenAt: timestamp,
  owner,
})
export type Samples = z.infer<typeof Samples>

/** The registry's record. With several files the id is the SHA-256 of the lines `<sha256>  <path>\n`, main file first, the rest sorted by path. */
export const Model = z.object({
  id: ModelId,
  name: Name,
  /** 1, 2, … in the order in which different content was uploaded under the name. */
  version: z.number().int().positive(),
  /** Other names that the same bytes were uploaded under. */
  aliases: z.array(z.object({ name: Name, version: z.number().int().positive() })).optional(),
  bytes: byteCount,
  files: z.array(ModelFile),
  irVersion: z.number().int(),
  opsets: z.record(z.string(), z.number().int()),
  producer: z.string(),
  inputs: z.array(DeclaredTensor),
  outputs: z.array(DeclaredTensor),
  /** The shapes the model is analysed with unless a request gives others; null while dynamic dimensions are open. */
  inputShapes: InputShapes.nullable(),
  shapesKey: ShapesKey.nullable(),
  samples: Samples.optional(),
  owner,
  createdAt: timestamp,
})
export type Model = z.infer<typeof Model>

/** One node of the canonical graph that does work at run time. */
export const Layer = z.object({
  index: z.number().int().nonnegative(),
  name: z.string(),
  /** `Conv`, or `com.microsoft::FusedConv` outside the default domain. */
  op: z.string(),
  /** Tensors made by other layers or graph inputs (captured ones of control-flow bodies included), not weights. */
  inputs: z.array(z.string()),
  outputs: z.array(TensorSpec),
  /**
   * Bytes of the constants that this layer reads or holds, in bodies and in the functions that it calls too. A shared
   * constant, or function, counts in each of its layers.
   */
  weightBytes: byteCount,
  /** Multiply-accumulates; null for operators without an agreed count. */
  macs: z.number().nonnegative().nullable(),
  /** It decides by values what it runs: it is an If, Loop or Scan, or holds one in the functions that it calls. */
  branches: z.literal(true).optional(),
})
export type Layer = z.infer<typeof Layer>

/** The gap before layer k (0..N) with its frontier: the tensors made before it and needed after it. */
export const Boundary = z.object({
  k: z.number().int().nonnegative(),
  /** Frontier, in the order of production; graph inputs first. Graph outputs already made are part of it. */
  tensors: z.array(z.string()),
  bytes: byteCount,
  single: z.boolean(),
  /** True when the boundary separates nothing that ONNX Runtime would fuse. */
  clean: z.boolean(),
  /** Why it is not clean; absent when it is. */
  why: z.string().optional(),
  /** False if cutting changes results, as inside a quantisation pattern: such a cut can run but is never planned. */
  allowed: z.boolean(),
})
export type Boundary = z.infer<typeof Boundary>

/** What made-up values of one input must keep for the model to run. */
export const InputHint = z.object({
  /** Every element has this value (a sampling rate, a mode, a mask that hides nothing). */
  value: z.number().optional(),
  /** No element is smaller (a divisor), for integers. */
  min: z.number().optional(),
  /** No element is larger (an index into a table), for integers. */
  max: z.number().nonnegative().optional(),
  /** The elements in order, repeated to the input's size (a shape, categories by column); null is any value. */
  elements: z
    .array(z.union([z.number(), z.string(), z.null()]))
    .min(1)
    .optional(),
})
export type InputHint = z.infer<typeof InputHint>

/** Restrictions that made-up inputs must keep, by input name: found in the uses that the model makes of them. */
export const InputHints = z.record(z.string(), InputHint)
export type InputHints = z.infer<typeof InputHints>

/** The canonical graph's structure: everything that planning and serving need without the file. */
export const Structure = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  /** The shapes of the inputs; of an open structure those that it was tried with, which its sizes in bytes are for. */
  inputShapes: InputShapes,
  /** True if the dimensions that the file leaves open are -1 here: these layers take any size of them. */
  open: z.boolean().optional(),
  inputs: z.array(TensorSpec),
  outputs: z.array(TensorSpec),
  layers: z.array(Layer),
  boundaries: z.array(Boundary),
  /** Of all layers, each constant and function counted once. */
  weightBytes: byteCount,
  inputHints: InputHints.optional(),
  /** SHA-256 of the samples that it was analysed with; absent if all values were made up. */
  samples: z.string().optional(),
  /** What a user should know of the results: found when the model was analysed. */
  warnings: z.array(z.string()).optional(),
})
export type Structure = z.infer<typeof Structure>
/** That of 100,000 layers has 24 MB: its lists, and itself without them (shared/platform/check-in-turns.ts). */
export const LONG_STRUCTURE = {
  lists: { layers: Layer, boundaries: Boundary },
  frame: Structure.extend({ layers: z.array(z.custom<Layer>()), boundaries: z.array(z.custom<Boundary>()) }),
}

/** How a model is to be analysed. */
export const AnalysisRequest = z
  .object({
    inputShapes: InputShapes.optional().describe('the model’s own when absent'),
    open: z
      .boolean()
      .optional()
      .describe(
        'with the dimensions open that the file leaves open: these layers take any size of them; `inputShapes` are then only tried',
      ),
  })
  .meta({ id: 'AnalysisRequest' })
export type AnalysisRequest = z.infer<typeof AnalysisRequest>

/** A dimension of an input that the file leaves open. `symbol` is `''` if it is unnamed, `...` if the rank is open. */
export const OpenDimension = z.object({
  input: z.string(),
  axis: z.number().int().nonnegative(),
  symbol: z.string(),
})
export type OpenDimension = z.infer<typeof OpenDimension>

/** The record with the result of its analysis; `layers` and `cuts` are null while dimensions are open. */
export const UploadedModel = Model.extend({
  layers: z.number().int().nonnegative().nullable(),
  /**
   * Boundaries 1..N-1 at which the model may be split: `single` have one tensor in the frontier, `clean` separate
   * nothing that ONNX Runtime would fuse. A boundary may be in both.
   */
  cuts: z.object({ single: z.array(z.number().int()), clean: z.array(z.number().int()) }).nullable(),
  /** Dimensions that a benchmark or `…/layers` needs as input shapes; empty if all are known. */
  openDimensions: z.array(OpenDimension),
  /** What a user should know of the model's results: found when it was analysed. */
  warnings: z.array(z.string()).optional(),
})
export type UploadedModel = z.infer<typeof UploadedModel>
