/** What the steps of a drive share: see drive.ts. */
import type { System } from '../../infra/start/system.ts'
import { createInferenceClient } from '../../shared/client/inference.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import type { Case } from './read-cases.ts'

export type Tensors = ReadonlyMap<string, Tensor>

export interface DriveOptions {
  /** Most cuts of a model that are tried, beside the case's own limit. */
  cuts: number
  /** Layer by layer, and on to measured, planned and deployed. */
  toTheEnd: boolean
}

export interface Step {
  ok: boolean
  seconds: number
  /** Of a refusal: its status and reason. */
  status?: number
  error?: string
  /** How far the answers were apart. */
  apart?: number
  /** Of cuts: how many were tried, and how many gave the very bits of the reference. */
  tried?: number
  bitIdentical?: number
}

export interface Drive {
  steps: Record<string, Step>
  /** What was not compared, and why. */
  notes: string[]
}

/** What a step found. */
export type Found = Omit<Step, 'ok' | 'seconds'>

/** What the steps of one case share. */
export interface Driven {
  system: System
  given: Case
  model: string
  inputs: Tensors
  structure: Structure
  /** @returns how far the answer is from the right one. @throws Error if that is too far. */
  check: (answer: Tensors, tolerance?: number) => Found
}

export type Do = (name: string, run: () => Promise<Found>) => Promise<boolean>

/** @param place of a resource among those of the system, from the first again after the last. */
export const client = (system: System, place: number) => {
  const resource = system.resources[place % system.resources.length]
  if (!resource) throw new Error('the system has no resource')
  return createInferenceClient(resource.name, resource.url)
}

export const mapOf = (tensors: readonly Tensor[]): Tensors =>
  new Map(tensors.map((tensor) => [tensor.name, tensor]))

/** The protocol has none for half precision. */
export const hasJsonForm = (tensors: readonly { datatype: string }[]): boolean =>
  tensors.every(({ datatype }) => datatype !== 'FP16')
