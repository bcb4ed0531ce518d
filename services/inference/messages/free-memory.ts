/**
 * Gives the memory of tensors back at once. Left to the garbage collector it piles up, a megabyte or two a request, until
 * V8 marks its whole heap, on four threads, every eighth request of ResNet50's stages: that took as much CPU time as all
 * the rest of a request. And what is freed at once is at hand for the next tensor of that size, its pages already mapped.
 */
import { MessageChannel } from 'node:worker_threads'

/** Whatever is transferred into a closed port is freed. */
const { port1: drain } = new MessageChannel()
drain.close()

/** @param buffers that nobody reads any more; views of them become empty. */
export function freeBuffers(buffers: Iterable<ArrayBufferLike>): void {
  const own = [...new Set(buffers)].filter((buffer): buffer is ArrayBuffer => isOwn(buffer))
  if (own.length > 0) drain.postMessage(null, own)
}

/** Frees what the views fill; the buffers of which they are a part may have other readers. */
export function freeViews(views: readonly Uint8Array[]): void {
  freeBuffers(views.filter((view) => view.byteLength === view.buffer.byteLength).map(({ buffer }) => buffer))
}

/** Node's pool cannot be moved, and what is empty has nothing to give. */
function isOwn(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.byteLength > 0 && buffer.byteLength !== Buffer.poolSize
}
