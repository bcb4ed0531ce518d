/** The tensors that cross the cuts of a network: its activations at every clean single-tensor cut, for one made-up input. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { createSession } from '../../services/inference/serving/executor/ort-session.ts'
import { ModelId } from '../../shared/contracts/common.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import {
  analyseInChild,
  canonicalPaths,
  type CanonicalModel,
  openCanonical,
  writeRange,
} from '../../shared/onnx/index.ts'
import { fromOrt, toOrt } from '../../shared/onnx/runtime/ort-tensor.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'

export interface OpenNetwork {
  structure: Structure
  canonical: CanonicalModel
  dir: string
  close: () => Promise<void>
}

const NO_ID = ModelId.parse('0'.repeat(64))
const OPTIONS = { threads: 1, optimisation: 'all' as const }

/** @param source a zoo network's name, or a file. */
export async function openNetwork(source: { zoo: string } | { file: string }): Promise<OpenNetwork> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'scission-codecs-'))
  const file = path.join(dir, 'model.onnx')
  if ('zoo' in source) await buildZooModel(source.zoo, file)
  else await copyFile(source.file, file)
  const request = { dir, file: 'model.onnx', model: NO_ID }
  const structure = await analyseInChild({ ...request, timeoutMs: 300_000, memoryLimitBytes: 8e9 })
  const canonical = await openCanonical(canonicalPaths(dir, structure.shapesKey).canonical)
  return { structure, canonical, dir, close: () => rm(dir, { recursive: true, force: true }) }
}

export interface Activation {
  boundary: number
  tensor: Tensor
}

/** Boundaries 0..N-1 that one FP32 tensor crosses and that separate nothing the runtime would fuse. */
export async function activationsOf({ structure, canonical, dir }: OpenNetwork): Promise<Activation[]> {
  const count = structure.layers.length
  const cuts = structure.boundaries
    .filter(({ k, single, clean }) => single && clean && k < count)
    .map(({ k }) => k)
  let have = new Map(
    makeInputs(structure.inputs, 1, structure.inputHints).map((tensor) => [tensor.name, tensor]),
  )
  const found: Activation[] = []
  let from = 0
  for (const to of cuts) {
    if (to > from) have = await runPiece(canonical, from, to, path.join(dir, 'piece.onnx'), have)
    from = to
    const [tensor] = have.values()
    if (tensor?.datatype === 'FP32') found.push({ boundary: to, tensor })
  }
  return found
}

async function runPiece(
  canonical: CanonicalModel,
  from: number,
  to: number,
  file: string,
  have: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  await writeRange(canonical, from, to, file)
  const session = await createSession(file, OPTIONS)
  try {
    const feeds = session.inputNames.flatMap((name) => {
      const tensor = have.get(name)
      return tensor ? [[name, toOrt(tensor)] as const] : []
    })
    const made = await session.run(Object.fromEntries(feeds))
    return new Map(
      session.outputNames.flatMap((name) => {
        const tensor = made[name]
        return tensor ? [[name, fromOrt(name, tensor)] as const] : []
      }),
    )
  } finally {
    await session.release()
  }
}
