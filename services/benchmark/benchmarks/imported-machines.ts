/** Machines without a service of this system: they can be planned with, and are never alive. */
import { Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'

/** This host name never resolves (RFC 2606). */
const NOWHERE = 'http://imported.invalid'

export const UNKNOWN_MACHINE = {
  cores: 1,
  memoryBytes: 0,
  platform: 'unknown',
  arch: 'unknown',
  node: 'unknown',
  onnxruntime: 'unknown',
}

type About = Pick<Resource, 'name' | 'tier' | 'tierIndex' | 'machine'> &
  Partial<Pick<Resource, 'options' | 'slowdown' | 'emulated'>>

export const importedMachine = (about: About, importedAt: string): Resource =>
  Resource.parse({
    options: {},
    slowdown: 1,
    emulated: false,
    ...about,
    url: NOWHERE,
    source: 'imported',
    startedAt: importedAt,
    heartbeatAt: importedAt,
  })

/** @throws ScissionError conflict if the resource is a service, running or lost. */
export function refuseService(known: Resource | undefined): void {
  if (!known || known.source === 'imported') return
  throw new ScissionError(
    'conflict',
    `resource ${known.name} is an inference service of this system; a machine of that name cannot be imported`,
    { resource: known.name },
  )
}
