/** How much of what was written to a socket the system has taken, which it does as fast as the other side reads. */
import type { Socket } from 'node:net'

interface Handle {
  bytesWritten: number
  writeQueueSize: number
}

const isHandle = (value: unknown): value is Handle =>
  typeof value === 'object' && value !== null && 'bytesWritten' in value && 'writeQueueSize' in value

/**
 * @returns bytes since the connection began. Node counts a piece that was written as underway until all of it is gone, and a
 * tensor is one piece of any size: only its handle knows how far it is. (Node itself tells by it that a socket is idle.)
 */
export function deliveredBytes(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (isHandle(handle)) return handle.bytesWritten - handle.writeQueueSize
  return socket.bytesWritten - socket.writableLength
}
