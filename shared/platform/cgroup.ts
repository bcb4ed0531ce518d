/**
 * Limits that the system sets for this process: control groups of Linux, version 1 and 2, as containers, systemd and
 * Kubernetes use them (kernel documentation: admin-guide/cgroup-v2, cgroup-v1/memory, scheduler/sched-bwc).
 *
 * A limit of any group above the process's own counts too: the smallest holds. Outside Linux, or where the files cannot be
 * read, there is none.
 */
import fs from 'node:fs'
import path from 'node:path'

/** CPU time that the process may use: `quotaMs` in each period of `periodMs`, on all cores together. */
export interface CpuQuota {
  quotaMs: number
  periodMs: number
}

export interface CgroupLimits {
  cpu?: CpuQuota
  memoryBytes?: number
}

/** @param root of the file system; for tests. */
export function readCgroupLimits(root = '/'): CgroupLimits {
  const cpu = smallest(quotas(root), ({ quotaMs, periodMs }) => quotaMs / periodMs)
  const memoryBytes = smallest(memoryLimits(root), (bytes) => bytes)
  return { ...(cpu && { cpu }), ...(memoryBytes !== undefined && { memoryBytes }) }
}

/** Stops of a group because its quota was used up: how many, and how long on all cores together, since its beginning. */
export interface Throttling {
  stops: number
  stoppedMs: number
}

/** Of the group of this process that was stopped most often; undefined without a quota. Some files are read: a fraction of a ms. */
export function throttling(root = '/'): Throttling | undefined {
  // Groups without one count as well: that they were never stopped.
  if (quotas(root).length === 0) return undefined
  const found = [...groupFolders('cpu', root)].flatMap((folder): Throttling[] => {
    const stat = read(folder, 'cpu.stat') ?? ''
    const [, stops] = /^nr_throttled (\d+)$/m.exec(stat) ?? []
    if (stops === undefined) return []
    // Version 2 tells microseconds, version 1 nanoseconds.
    const [, micros = 0] = /^throttled_usec (\d+)$/m.exec(stat) ?? []
    const [, nanos = 0] = /^throttled_time (\d+)$/m.exec(stat) ?? []
    return [{ stops: Number(stops), stoppedMs: Number(micros) / 1000 + Number(nanos) / 1e6 }]
  })
  return found.sort((a, b) => b.stops - a.stops)[0]
}

function quotas(root: string): CpuQuota[] {
  return groupFolders('cpu', root).flatMap((folder) => {
    // Version 2: `max 100000` or `50000 100000`, in microseconds; version 1: a file each, -1 without a limit.
    const [quota, period] = read(folder, 'cpu.max')?.split(' ') ?? [
      read(folder, 'cpu.cfs_quota_us'),
      read(folder, 'cpu.cfs_period_us'),
    ]
    const [quotaMs, periodMs] = [Number(quota) / 1000, Number(period) / 1000]
    return quotaMs > 0 && periodMs > 0 ? [{ quotaMs, periodMs }] : []
  })
}

/** Version 1 writes a number near 2^63 where there is no limit. */
const NO_LIMIT = 2 ** 60

function memoryLimits(root: string): number[] {
  return groupFolders('memory', root).flatMap((folder) => {
    const bytes = Number(read(folder, 'memory.max') ?? read(folder, 'memory.limit_in_bytes'))
    return bytes > 0 && bytes < NO_LIMIT ? [bytes] : []
  })
}

/** The folder of the process's own group of a controller, and those above it. */
function groupFolders(controller: string, root: string): string[] {
  const mounts = mountsOf(controller, root)
  return groupsOf(controller, root).flatMap(({ version, group }) => {
    const mount = mounts.find((one) => one.version === version)
    if (!mount) return []
    const folders: string[] = []
    // In a container that sees its own group as the root, the path of the host does not exist below the mount.
    for (let at = group; ; at = path.dirname(at)) {
      folders.push(path.join(root, mount.folder, at))
      if (at === '/' || at === '.') return folders
    }
  })
}

/** Lines of /proc/self/cgroup: `4:cpu,cpuacct:/group`, and `0::/group` of version 2. */
function groupsOf(controller: string, root: string) {
  return (read(root, 'proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, id, controllers = '', group = ''] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (id === '0' && controllers === '') return [{ version: 2, group }]
    return controllers.split(',').includes(controller) ? [{ version: 1, group }] : []
  })
}

/** Lines of /proc/self/mounts: device, folder, type, options. */
function mountsOf(controller: string, root: string) {
  return (read(root, 'proc/self/mounts') ?? '').split('\n').flatMap((line) => {
    const [, folder = '', type, options = ''] = line.split(' ')
    if (type === 'cgroup2') return [{ version: 2, folder }]
    return type === 'cgroup' && options.split(',').includes(controller) ? [{ version: 1, folder }] : []
  })
}

function read(folder: string, file: string): string | undefined {
  try {
    return fs.readFileSync(path.join(folder, file), 'utf8').trim()
  } catch {
    return undefined // Another version of control groups, another system, or a group that has gone: no limit.
  }
}

function smallest<T>(limits: readonly T[], sizeOf: (limit: T) => number): T | undefined {
  return limits.toSorted((a, b) => sizeOf(a) - sizeOf(b))[0]
}
