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

export const ModelFile = z.object({
  /** Path relative to the model's folder: `model.onnx`, or the external data file's own location. */
  path: z.string(),
  bytes: byteCount,
  sha256: z.string(),
})

/** The registry's record. For several files the id is the SHA-256 of the lines `<sha256>  <path>\n`, main file first, rest sorted by path. */
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
  /** Bytes of the constants this layer reads; a constant that two layers share counts in both. */
  weightBytes: byteCount,
  /** Multiply-accumulates; null for operators without an agreed count. */
  macs: z.number().nonnegative().nullable(),
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
  /** False where cutting would change results (inside a quantisation pattern): runnable, but never planned. */
  allowed: z.boolean(),
})
export type Boundary = z.infer<typeof Boundary>

/** What made-up inputs must respect for the model to run, by input name: found in its own comparisons and tables. */
export const InputHints = z.record(
  z.string(),
  z.object({
    /** Every element has this value (a sampling rate, a mode). */
    value: z.number().optional(),
    /** No element is larger (an index into a table). */
    max: z.number().nonnegative().optional(),
  }),
)
export type InputHints = z.infer<typeof InputHints>

/** The canonical graph's structure: all that planning and serving need to know without the file. */
export const Structure = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  inputShapes: InputShapes,
  inputs: z.array(TensorSpec),
  outputs: z.array(TensorSpec),
  layers: z.array(Layer),
  boundaries: z.array(Boundary),
  weightBytes: byteCount,
  inputHints: InputHints.optional(),
})
export type Structure = z.infer<typeof Structure>

/** A dimension of an input that the file leaves open: its symbol, `''` where unnamed, `...` where the rank is open. */
export const OpenDimension = z.object({
  input: z.string(),
  axis: z.number().int().nonnegative(),
  symbol: z.string(),
})
export type OpenDimension = z.infer<typeof OpenDimension>

/** The record with what its analysis found; `layers` and `cuts` are null while dimensions are open. */
export const UploadedModel = Model.extend({
  layers: z.number().int().nonnegative().nullable(),
  /**
   * Boundaries 1..N-1 where the model may be split: `single` with one tensor in the frontier,
   * `clean` where nothing is separated that ONNX Runtime would fuse. A boundary may be in both.
   */
  cuts: z.object({ single: z.array(z.number().int()), clean: z.array(z.number().int()) }).nullable(),
  /** What a benchmark or `…/layers` must be told as input shapes; empty when every dimension is known. */
  openDimensions: z.array(OpenDimension),
})
export type UploadedModel = z.infer<typeof UploadedModel>
