/**
 * The planner: speed of its views, what more cuts are worth, and the service under load.
 *
 * `PLANNER_PARTS=chain,graph` measures only those of: service, chain, graph, networks, map, cuts.
 */
import { importCompiled } from './as-compiled.ts'
import type { Benchmark } from './bench.ts'
import { measureCuts } from './planner-cuts.ts'
import { measureService } from './planner-service.ts'
import type * as planningSpeed from './planner-speed.ts'

type Speed = typeof planningSpeed
type Measure = (say: (text: string) => void, speed: Speed) => planningSpeed.Part | Promise<planningSpeed.Part>

const PARTS: Record<string, Measure[]> = {
  chain: [
    (say, { chainSpeed }) => chainSpeed(say, 100, 200, 2),
    (say, { chainSpeed }) => chainSpeed(say, 1000, 30, 60),
  ],
  graph: [
    (say, { graphSpeed }) => graphSpeed(say, 'quick', 'many', 2),
    (say, { graphSpeed }) => graphSpeed(say, 'slow', 'many', 2),
    (say, { graphSpeed }) => graphSpeed(say, 'quick', 'one', 2),
    (say, { graphSpeed }) => graphSpeed(say, 'slow', 'one', 20),
  ],
  networks: [
    (say, { networkSpeed }) => networkSpeed(say, 'quick'),
    (say, { networkSpeed }) => networkSpeed(say, 'slow'),
  ],
  map: [(say, { mapSpeed }) => mapSpeed(say)],
  service: [measureService],
  cuts: [measureCuts],
}

export const planner: Benchmark = {
  name: 'planner',
  title: 'Planner: chain, graph, maps, cuts of the 18 networks, service',
  run: async (say) => {
    const wanted = process.env['PLANNER_PARTS']?.split(',') ?? Object.keys(PARTS)
    const unknown = wanted.filter((name) => !Object.hasOwn(PARTS, name))
    if (unknown.length > 0)
      throw new Error(`PLANNER_PARTS: unknown ${unknown.join(', ')}; known: ${Object.keys(PARTS).join(', ')}`)
    const speed = await importCompiled<Speed>('planner-speed.ts')
    const measured: Record<string, planningSpeed.Part[]> = {}
    for (const name of wanted) {
      const parts: planningSpeed.Part[] = (measured[name] = [])
      for (const measure of PARTS[name]!) parts.push(await measure(say, speed))
    }
    return {
      figures: Object.values(measured).flatMap((parts) => parts.flatMap(({ figures }) => figures)),
      raw: Object.fromEntries(
        Object.entries(measured).map(([name, parts]) => [name, parts.map(({ raw }) => raw)]),
      ),
    }
  },
}
