import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readCgroupLimits, throttling } from '../../../shared/platform/cgroup.ts'

const made: string[] = []
afterAll(() => made.forEach((folder) => fs.rmSync(folder, { recursive: true })))

/** A root folder with these files. */
function rootWith(files: Record<string, string>): string {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-cgroup-'))
  made.push(root)
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.join(root, path.dirname(name)), { recursive: true })
    fs.writeFileSync(path.join(root, name), text)
  }
  return root
}

const V2_MOUNT = 'cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n'
const V1_MOUNTS =
  'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n'

describe('limits of control groups', () => {
  it('of version 2 are the smallest of the own group and of those above it', () => {
    const root = rootWith({
      'proc/self/cgroup': '0::/system.slice/scission.service\n',
      'proc/self/mounts': V2_MOUNT,
      'sys/fs/cgroup/system.slice/cpu.max': '150000 100000\n',
      'sys/fs/cgroup/system.slice/memory.max': '4294967296\n',
      'sys/fs/cgroup/system.slice/scission.service/cpu.max': 'max 100000\n',
      'sys/fs/cgroup/system.slice/scission.service/memory.max': 'max\n',
      'sys/fs/cgroup/system.slice/scission.service/cpu.stat':
        'usage_usec 9\nnr_periods 8\nnr_throttled 3\nthrottled_usec 4500\n',
    })
    expect(readCgroupLimits(root)).toEqual({
      cpu: { quotaMs: 150, periodMs: 100 },
      memoryBytes: 4_294_967_296,
    })
    expect(throttling(root)).toEqual({ stops: 3, stoppedMs: 4.5 })
  })

  it('of version 2 in a container that sees its own group as the root', () => {
    const root = rootWith({
      'proc/self/cgroup': '0::/\n',
      'proc/self/mounts': V2_MOUNT,
      'sys/fs/cgroup/cpu.max': '50000 100000\n',
      'sys/fs/cgroup/memory.max': '536870912\n',
    })
    expect(readCgroupLimits(root)).toEqual({ cpu: { quotaMs: 50, periodMs: 100 }, memoryBytes: 536_870_912 })
  })

  it('of version 1, also in a container that does not see the path of the host', () => {
    const files = {
      'proc/self/mounts': V1_MOUNTS,
      'proc/self/cgroup': '5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '10000\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.stat': 'nr_periods 8\nnr_throttled 3\nthrottled_time 4500000\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '1073741824\n',
    }
    const expected = { cpu: { quotaMs: 10, periodMs: 100 }, memoryBytes: 1_073_741_824 }
    expect(readCgroupLimits(rootWith(files))).toEqual(expected)
    expect(throttling(rootWith(files))).toEqual({ stops: 3, stoppedMs: 4.5 })
    const own = { ...files, 'sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us': '-1\n' }
    expect(readCgroupLimits(rootWith(own))).toEqual(expected)
  })

  it('are none where nothing limits, where files are damaged, and outside Linux', () => {
    expect(readCgroupLimits(rootWith({}))).toEqual({})
    expect(throttling(rootWith({}))).toBeUndefined()
    // A group without a quota counts its stops too: none.
    const unlimited = {
      'proc/self/cgroup': '0::/\n',
      'proc/self/mounts': V2_MOUNT,
      'sys/fs/cgroup/cpu.max': 'max 100000\n',
      'sys/fs/cgroup/cpu.stat': 'nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n',
    }
    expect(throttling(rootWith(unlimited))).toBeUndefined()
    const free = rootWith({
      'proc/self/cgroup': '4:cpu:/\n5:memory:/\nnonsense\n',
      'proc/self/mounts': `${V1_MOUNTS}short\n`,
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1\n',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': 'x\n',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    })
    expect(readCgroupLimits(free)).toEqual({})
  })
})
