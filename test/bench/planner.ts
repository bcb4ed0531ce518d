/** The planner: speed of its views, what more cuts are worth, and the service under load. */
import type { Benchmark } from './bench.ts'
import { measureCuts } from './planner-cuts.ts'
import { measureService } from './planner-service.ts'
import { measureSpeed } from './planner-speed.ts'

export const planner: Benchmark = {
  name: 'planner',
  title: 'Planner: chain, graph, maps, cuts of the 18 networks, service',
  run: async (say) => {
    const service = await measureService(say)
    const speed = measureSpeed(say)
    const cuts = measureCuts(say)
    return {
      figures: [...speed.figures, ...service.figures, ...cuts.figures],
      raw: { speed: speed.raw, service: service.raw, cuts: cuts.raw },
    }
  },
}
