import { createRequire } from 'node:module'
import os from 'node:os'
import { z } from 'zod'
import type { Machine } from '../../../shared/contracts/resource.ts'

const Package = z.object({ version: z.string() })

/** What decides how the C library hands out memory, where any of it is set. */
const ALLOCATOR = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value = '']) =>
    /^(MALLOC_.*|LD_PRELOAD|GLIBC_TUNABLES)$/.test(name) ? [[name, value] as const] : [],
  ),
)

/** The machine this process runs on. */
export function describeMachine(): Machine {
  const cpus = os.cpus()
  // Read from its package file: loading the runtime itself has no place in this thread.
  const runtime = Package.parse(createRequire(import.meta.url)('onnxruntime-node/package.json'))
  return {
    cpuModel: cpus[0]?.model.trim() ?? 'unknown',
    cores: Math.max(1, os.availableParallelism()),
    memoryBytes: os.totalmem(),
    platform: os.platform(),
    arch: os.arch(),
    node: process.version,
    onnxruntime: runtime.version,
    ...(Object.keys(ALLOCATOR).length > 0 && { allocator: ALLOCATOR }),
  }
}
