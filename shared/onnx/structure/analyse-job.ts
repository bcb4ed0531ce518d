/** The job that analyse-child.ts runs in its child process. */
import { analyse, type AnalyseRequest } from './analyse.ts'

export type AnalyseOutput = { shapesKey: string }

/** @returns which structure it wrote: sent as a value, one of 100,000 layers would take the other process seconds to unpack. */
export async function run(request: AnalyseRequest): Promise<AnalyseOutput> {
  const { shapesKey } = await analyse(request)
  return { shapesKey }
}
