/**
 * Answers questions about a made-up model before the service listens, so that V8 has compiled the optimiser. Without it the
 * first thousand questions are slow, and at 200 questions a second they wait for each other.
 */
import { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import { optimise, type OptimiserQuery, type Problem } from '../../../shared/planning/index.ts'

const LAYERS = 60
const TIERS = ['device', 'edge', 'cloud']

/** Enough for V8 to optimise the code of the most frequent kinds of questions; takes half a second on a slow machine. */
const MAX_WARM_UP_MS = 500
const MAX_ROUND_COUNT = 150

export function warmUp(now = () => performance.now()): void {
  const end = now() + MAX_WARM_UP_MS
  for (let round = 0; round < MAX_ROUND_COUNT && now() < end; round += 1) {
    const problem = madeUp(LAYERS + (round % 5))
    for (const query of questions(round)) optimise(problem, query)
  }
}

function questions(round: number): OptimiserQuery[] {
  const common: OptimiserQuery = { objective: 'latency', top: 5, cuts: 'clean' }
  return [
    { ...common, maxLatencyMs: 1e6 + round },
    { ...common, firstLayersOnDevice: round % 10 },
    { ...common, maxUploadBytes: { device: 1e6 + round }, maxTierMs: { edge: 1e6 } },
  ]
}

/** A chain whose tensors shrink, on one device and two machines in each later tier; later tiers are faster. */
function madeUp(layers: number): Problem {
  const model = ModelId.parse('0'.repeat(64))
  const shapesKey = ShapesKey.parse('0'.repeat(12))
  const bytesAt = (boundary: number) => 400_000 / (1 + boundary)
  const resources = TIERS.flatMap((tier, tierIndex) =>
    [tier, ...(tierIndex > 0 ? [`${tier}2`] : [])].map((name) => ({
      name,
      tier,
      tierIndex,
      slowdown: 1,
      emulated: false,
    })),
  )
  return {
    structure: {
      model,
      shapesKey,
      layers: Array.from({ length: layers }, (_, index) => ({
        index,
        name: `layer${index}`,
        op: 'Conv',
        inputs: [`t${index}`],
        outputs: [{ name: `t${index + 1}`, datatype: 'FP32', shape: [], bytes: bytesAt(index + 1) }],
        weightBytes: 1000,
        macs: null,
      })),
      boundaries: Array.from({ length: layers + 1 }, (_, k) => ({
        k,
        tensors: [`t${k}`],
        bytes: bytesAt(k),
        single: true,
        clean: true,
        allowed: true,
      })),
    },
    resources,
    profiles: resources.map(({ name, tierIndex }) => ({
      resource: name,
      model,
      shapesKey,
      emulated: false,
      layerMs: Array.from({ length: layers }, (_, layer) => (1 + (layer % 3)) / 4 ** tierIndex),
    })),
    links: resources.flatMap((from) =>
      resources
        .filter((to) => to.tierIndex > from.tierIndex)
        .map((to) => ({
          from: from.name,
          to: to.name,
          rttMs: 5,
          bandwidthMbps: 50,
          returnBandwidthMbps: 50,
          source: 'measured' as const,
          emulated: false,
        })),
    ),
  }
}
