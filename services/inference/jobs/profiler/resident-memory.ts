/** Memory of this process. */
import fs from 'node:fs'

const KIB = 1024
/** Pages of 4 KiB on the platforms that onnxruntime-node is built for (proc(5), statm). */
const PAGE_BYTES = 4096

/** Resident memory of this process in bytes, pages of mapped files included. */
export function residentBytes(): number {
  try {
    return Number(fs.readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * PAGE_BYTES
  } catch {
    return process.memoryUsage().rss // Not Linux: slower, but the same figure.
  }
}

/** Peak of the resident memory of this process so far, in bytes. */
export const peakResidentBytes = (): number => process.resourceUsage().maxRSS * KIB
