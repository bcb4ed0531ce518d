/** Differences between the machine that a profile was measured on and a resource as it is now. */
import type { Profile } from './profile.ts'
import type { Machine, Resource } from './resource.ts'

const NAMES: Record<keyof Machine, string> = {
  cpuModel: 'CPU',
  cores: 'cores',
  memoryBytes: 'bytes of memory',
  platform: 'platform',
  arch: 'architecture',
  node: 'Node',
  onnxruntime: 'ONNX Runtime',
  allocator: 'allocator settings',
}

/** @returns one text per difference: "CPU A, not B". */
export function machineDifferences(
  profile: Pick<Profile, 'machine' | 'slowdown'>,
  resource: Pick<Resource, 'machine' | 'slowdown'>,
): string[] {
  const fields = Object.keys(NAMES) as (keyof Machine)[]
  const differing = fields.flatMap((field) => {
    const [then, now] = [profile.machine[field], resource.machine[field]].map((value) =>
      typeof value === 'object' ? JSON.stringify(value) : (value ?? 'none'),
    )
    return then === now ? [] : [`${NAMES[field]} ${then}, not ${now}`]
  })
  const slowdown =
    profile.slowdown === resource.slowdown ? [] : [`slowdown ${profile.slowdown}, not ${resource.slowdown}`]
  return [...differing, ...slowdown]
}
