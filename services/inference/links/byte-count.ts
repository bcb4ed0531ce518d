import type http from 'node:http'
import type { Socket } from 'node:net'

/** Bytes that passed the socket of one request so far, heads included. */
export class ByteCount {
  #socket: Socket | undefined
  #sentBefore = 0
  #receivedBefore = 0

  /** @param request just made: nothing of it has been sent yet. */
  constructor(request: http.ClientRequest) {
    request.once('socket', (socket) => {
      this.#socket = socket
      this.#sentBefore = socket.bytesWritten
      this.#receivedBefore = socket.bytesRead
    })
  }

  get sent(): number {
    return (this.#socket?.bytesWritten ?? 0) - this.#sentBefore
  }

  get received(): number {
    return (this.#socket?.bytesRead ?? 0) - this.#receivedBefore
  }
}
