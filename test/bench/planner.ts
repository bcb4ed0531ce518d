/**
 * The planner: speed of its views, what more cuts are worth, and the service under load.
 *
 * `PLANNER_PARTS=chain,graph` measures only those of: service, chain, graph, networks, map, cuts.
 */
import type { Benchmark } from './bench.ts'
import { measureCuts } from './planner-cuts.ts'
import { measureService } from './planner-service.ts'
import { chainSpeed, graphSpeed, mapSpeed, networkSpeed, type Part } from './planner-speed.ts'

type Measure = (say: (text: string) => void) => Part | Promise<Part>

const PARTS: Record<string, Measure[]> = {
  chain: [(say) => chainSpeed(say, 100, 200, 2), (say) => chainSpeed(say, 1000, 30, 60)],
  graph: [
    (say) => graphSpeed(say, 'quick', 'many'),
    (say) => graphSpeed(say, 'slow', 'many'),
    (say) => graphSpeed(say, 'quick', 'one'),
    (say) => graphSpeed(say, 'slow', 'one'),
  ],
  networks: [(say) => networkSpeed(say, 'quick'), (say) => networkSpeed(say, 'slow')],
  map: [mapSpeed],
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
    const measured: Record<string, Part[]> = {}
    for (const name of wanted) {
      const parts: Part[] = (measured[name] = [])
      for (const measure of PARTS[name]!) parts.push(await measure(say))
    }
    return {
      figures: Object.values(measured).flatMap((parts) => parts.flatMap(({ figures }) => figures)),
      raw: Object.fromEntries(
        Object.entries(measured).map(([name, parts]) => [name, parts.map(({ raw }) => raw)]),
      ),
    }
  },
}
