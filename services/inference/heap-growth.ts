/**
 * How far V8's heap may grow before it is marked as a whole.
 *
 * V8 counts the tensors of requests under way as part of the heap, and starts marking when both together are a few
 * megabytes above what the last marking left: with tensors of a megabyte that is every fifteenth request, and marking
 * 30 MB on four threads took about as much CPU time as all else that a request of three stages of ResNet50 costs around
 * its computing. Twice the heap makes that so rare that it no longer shows (`npm run bench -- serve`: pipelined 16.8
 * requests a second before, 18.1 after; the collector's threads 2.6 ms a request before, 0.3 ms after), for at most
 * some 30 MB more while it serves.
 */
import { setFlagsFromString } from 'node:v8'

/** Percent above what the last marking left; V8's own choice comes down to a few percent for a small heap. */
const GROWTH_PERCENT = 100

/** For this process and the threads that it starts. Call it first. */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
