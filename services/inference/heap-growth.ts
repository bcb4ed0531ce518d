/**
 * Sets how far V8's heap may grow before a full marking.
 *
 * V8 counts the tensors of running requests as part of the heap, and starts marking when both together exceed the result of
 * the last marking by a few megabytes. With tensors of 1 MB that happens at every fifteenth request, and marking 30 MB on
 * four threads took about as much CPU time as everything else around the computation of three ResNet50 stages. If the heap
 * may double, markings are so rare that they no longer show (`npm run bench -- serve`: pipelined 16.8 requests per second
 * before, 18.1 after; the collector's threads 2.6 ms per request before, 0.3 ms after), at a cost of about 30 MB of memory.
 */
import { setFlagsFromString } from 'node:v8'

/** Growth in percent of the heap after the last marking. V8's default is a few percent for a small heap. */
const GROWTH_PERCENT = 100

/** Applies to this process and the threads that it starts. Must be called first. */
export function letHeapGrow(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
