/** The model split in two at one boundary: both stages as sessions, run one after the other as two executors would. */
import { InferenceSession } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { loadError } from '../../serving/executor/ort-errors.ts'
import { sessionOptions } from '../../serving/executor/session-options.ts'
import type { CutModel } from './cut-model.ts'
import { besideModel } from './layer-names.ts'
import type { Feeds, Runner } from './timed-runs.ts'
import { undisturbed } from '../../../../shared/platform/statistics.ts'

export interface PairTimes {
  k: number
  prefixMs: number
  suffixMs: number
  /** The whole model, run in turn with them. */
  wholeMs: number
  wholesMs: number[]
}

/** @throws ScissionError invalidModel when a stage cannot be loaded, internal when it cannot be run. */
export async function measurePair(
  model: CutModel,
  k: number,
  feeds: Feeds,
  rounds: number,
  runner: Runner,
  options: RuntimeOptions,
  whole: InferenceSession,
): Promise<PairTimes> {
  const prefix = await openRange(model, 0, k, options)
  const suffix = await openRange(model, k, model.structure.layers.length, options)
  const times: { prefix: number; suffix: number; whole: number }[] = []
  // The first round warms the sessions up.
  for (let round = 0; round <= rounds; round++) {
    let suffixMs = 0
    const time = await runner.run(prefix, feeds, undefined, async (made) => {
      const inputs = Object.fromEntries(
        suffix.inputNames.flatMap((name) => {
          const tensor = made[name] ?? feeds[name]
          return tensor === undefined ? [] : [[name, tensor]]
        }),
      )
      suffixMs = runner.figure(await runner.run(suffix, inputs))
    })
    if (round === 0) continue
    const wholeMs = runner.figure(await runner.run(whole, feeds))
    times.push({ prefix: runner.figure(time), suffix: suffixMs, whole: wholeMs })
  }
  await prefix.release()
  await suffix.release()
  return {
    k,
    prefixMs: undisturbed(times.map((time) => time.prefix)),
    suffixMs: undisturbed(times.map((time) => time.suffix)),
    wholeMs: undisturbed(times.map((time) => time.whole)),
    wholesMs: times.map((time) => time.whole),
  }
}

/** @throws ScissionError invalidModel with ONNX Runtime's own text. */
export async function openRange(
  model: CutModel,
  from: number,
  to: number,
  options: RuntimeOptions,
  more: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  const settings = besideModel(model.file, { ...sessionOptions(options), ...more })
  try {
    return await InferenceSession.create(model.range(from, to), settings)
  } catch (thrown) {
    throw loadError(model.file, thrown)
  }
}
