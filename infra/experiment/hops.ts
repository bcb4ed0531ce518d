/** What the hops of a request reported, from the parameters of its answer. Pure. */
import type { ExperimentRow } from '../../shared/contracts/experiment.ts'
import type { Parameters } from '../../shared/oip/parameters.ts'

type Hop = ExperimentRow['hops'][number]

/** Between a hop's input and its answer, beside `nextMs`. */
const OWN_TIMES = ['queueMs', 'computeMs', 'waitedMs', 'encodeMs', 'decodeMs'] as const

/** @param otherCores of the resources of which it is known. */
export function hopsOf(parameters: Parameters, otherCores: ReadonlyMap<string, number>): Hop[] {
  const count = figure(parameters, 'scission_hops') ?? 0
  return Array.from({ length: count }, (_, hop) => {
    const of = (name: string) => figure(parameters, `scission_hop${hop}_${name}`)
    const resource = String(parameters[`scission_hop${hop}_resource`])
    const [layers, insteadOf] = ['layers', 'insteadOf'].map(
      (name) => parameters[`scission_hop${hop}_${name}`],
    )
    const figures = {
      computeMs: of('computeMs'),
      cpuMs: of('cpuMs'),
      queueMs: of('queueMs'),
      waitedMs: of('waitedMs'),
      transferMs: transferMs(parameters, hop, count),
      otherCores: otherCores.get(resource),
    }
    const known = Object.entries(figures).filter(([, value]) => value !== undefined)
    return {
      resource,
      ...(typeof insteadOf === 'string' && { insteadOf }),
      ...(typeof layers === 'string' && { layers }),
      ...Object.fromEntries(known),
    }
  })
}

/** @returns undefined at the last hop, and where the answer of a later hop went another way. */
function transferMs(parameters: Parameters, hop: number, count: number): number | undefined {
  const of = (at: number, name: string) => figure(parameters, `scission_hop${at}_${name}`)
  const whole = of(hop, 'nextMs')
  const later = hop + 1 === count - 1 ? 0 : of(hop + 1, 'nextMs')
  if (whole === undefined || later === undefined) return undefined
  return OWN_TIMES.reduce((rest, name) => rest - (of(hop + 1, name) ?? 0), whole - later)
}

export function figure(parameters: Parameters, name: string): number | undefined {
  const value = parameters[name]
  return typeof value === 'number' ? value : undefined
}
