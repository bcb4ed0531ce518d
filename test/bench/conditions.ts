/** Conditions under which services are measured: other processes that keep cores busy, and quotas of CPU time. */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

export interface Condition {
  name: string
  /** Processes that compute all the time. */
  busyCores: number
  /** Part of one core that each service may use; undefined = all. */
  quota: number | undefined
}

export const CONDITIONS: readonly Condition[] = [
  { name: 'quiet', busyCores: 0, quota: undefined },
  { name: 'one core busy', busyCores: 1, quota: undefined },
  { name: 'two cores busy', busyCores: 2, quota: undefined },
  { name: 'quota 50 %', busyCores: 0, quota: 0.5 },
  { name: 'quota 10 %', busyCores: 0, quota: 0.1 },
]

/** Keeps cores busy until it is ended. @returns ends it. */
export function keepBusy(cores: number): () => void {
  const script = 'process.on("disconnect", () => process.exit()); for (;;) await new Promise(setImmediate)'
  const hogs = Array.from({ length: cores }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  )
  return () => hogs.forEach((hog) => hog.kill('SIGKILL'))
}

const V1 = '/sys/fs/cgroup/cpu'
const PERIOD_US = 100_000

/** Why quotas cannot be made here; undefined if they can. */
export function noQuotas(): string | undefined {
  try {
    makeGroup(`scission-bench-${process.pid}`, 1)()
    return undefined
  } catch (error) {
    return `control groups cannot be made here (${(error as Error).message})`
  }
}

/** Puts each process, and its children from now on, under a quota of its own. @returns lifts it. */
export function limitProcesses(pids: readonly number[], cores: number): () => void {
  const lifts = pids.map((pid) => makeGroup(`scission-bench-${pid}`, cores, pid))
  return () => lifts.forEach((lift) => lift())
}

function makeGroup(name: string, cores: number, pid?: number): () => void {
  const isV1 = fs.existsSync(path.join(V1, 'cpu.cfs_quota_us')) || fs.existsSync(V1)
  const parent = isV1 ? V1 : '/sys/fs/cgroup'
  const group = path.join(parent, name)
  fs.mkdirSync(group)
  const quota = Math.round(cores * PERIOD_US)
  if (isV1) {
    fs.writeFileSync(path.join(group, 'cpu.cfs_period_us'), String(PERIOD_US))
    fs.writeFileSync(path.join(group, 'cpu.cfs_quota_us'), String(quota))
  } else fs.writeFileSync(path.join(group, 'cpu.max'), `${quota} ${PERIOD_US}`)
  if (pid !== undefined) fs.writeFileSync(path.join(group, 'cgroup.procs'), String(pid))
  return () => {
    for (const member of fs
      .readFileSync(path.join(group, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean))
      fs.writeFileSync(path.join(parent, 'cgroup.procs'), member)
    fs.rmdirSync(group)
  }
}
