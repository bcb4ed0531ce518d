/**
 * A layer range as a machine holds it: the file that the product writes, and beside it only the bytes that its manifest
 * names. All other bytes of the weights are 0xFF, which no result survives: NaN as a float, -1 as an integer.
 */
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import { createSession } from '../../../services/inference/serving/executor/ort-session.ts'
import type { RuntimeOptions } from '../../../shared/contracts/resource.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { type CanonicalModel, type WeightExtent, writeRange } from '../../../shared/onnx/index.ts'
import { fromRuntime, toRuntime } from '../../../shared/onnx/runtime/analysis-session.ts'

const NOT_HELD = 0xff

export type Tensors = ReadonlyMap<string, Tensor>

/** Runs layers [from, to) with nothing but what a machine is sent for them. @returns the tensors of boundary `to`. */
export async function runHeldRange(
  canonical: CanonicalModel,
  [from, to]: readonly [number, number],
  given: Tensors,
  options: RuntimeOptions,
): Promise<Tensors> {
  const name = `range-${from}-${to}.onnx`
  const written = path.join(canonical.dir, name)
  const range = await writeRange(canonical, from, to, written)
  const crossing = new Map(range.inputs.map((input) => [input.name, tensorOf(given, input.name)]))
  if (range.onnx === null) return crossing
  const folder = path.join(canonical.dir, `held-${from}-${to}`)
  mkdirSync(folder, { recursive: true })
  copyFileSync(written, path.join(folder, name))
  for (const extent of range.extents) hold(canonical.dir, folder, extent)
  const session = await createSession(path.join(folder, name), options)
  try {
    const made = await runSession(session, crossing)
    return new Map(range.outputs.map(({ name }) => [name, made.get(name) ?? tensorOf(given, name)]))
  } finally {
    await session.release()
  }
}

function tensorOf(given: Tensors, name: string): Tensor {
  const tensor = given.get(name)
  if (!tensor) throw new Error(`"${name}" did not cross the boundary`)
  return tensor
}

/** Copies one part of a file of weights to where it belongs. */
function hold(from: string, to: string, { path: name, offset, length }: WeightExtent): void {
  const source = path.join(from, name)
  const target = path.join(to, name)
  mkdirSync(path.dirname(target), { recursive: true })
  const { size } = statSync(source)
  if (statSync(target, { throwIfNoEntry: false }) === undefined)
    writeFileSync(target, Buffer.alloc(size, NOT_HELD))
  const file = openSync(target, 'r+')
  try {
    writeSync(file, readFileSync(source).subarray(offset, offset + length), 0, length, offset)
  } finally {
    closeSync(file)
  }
}

/** Runs a session on those of the tensors that it asks for. */
export async function runSession(session: InferenceSession, given: Tensors): Promise<Map<string, Tensor>> {
  // No prototype: a tensor may be called `__proto__`.
  const feeds = Object.create(null) as Record<string, ReturnType<typeof toRuntime>>
  for (const name of session.inputNames) {
    const tensor = given.get(name)
    if (tensor) feeds[name] = toRuntime(tensor)
  }
  const results = await session.run(feeds)
  return new Map(
    session.outputNames.map((name) => {
      const result = results[name]
      if (!result) throw new Error(`ONNX Runtime gave no "${name}"`)
      return [name, fromRuntime(name, result)]
    }),
  )
}
