/** Prints commands to try next, with the addresses of this run. */
import colour from 'picocolors'
import type { System } from '../start/system.ts'
import type { Report } from './report.ts'

export function thingsToTry(system: System, report: Report): string {
  const served = report.raw.served.at(-1)
  const bytes = report.model.inputs.length === 1 ? report.inputBytes : undefined
  const infer =
    served && bytes !== undefined
      ? `head -c ${bytes} /dev/zero | curl -s ${served.endpoint} -H 'Inference-Header-Content-Length: 0' --data-binary @- | head -c 400`
      : `curl -s ${served?.endpoint.replace(/\/infer$/, '')}`
  const lines = [
    colour.bold('up and running; Ctrl-C stops everything'),
    `  benchmark  ${system.benchmarkUrl}/docs`,
    `  planner    ${system.plannerUrl}/docs`,
    ...system.resources.map((resource) => `  ${resource.name.padEnd(10)} ${resource.url}/docs`),
    colour.bold('try'),
    `  curl -s '${system.plannerUrl}/v1/plans?model=${report.model.name}&network=3g&top=3'`,
    `  curl -s '${system.benchmarkUrl}/v1/models/${report.model.name}/layers' | head -c 600`,
    `  ${infer}`,
  ]
  return lines.join('\n')
}
