import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

type WriteDone = (error?: Error | null) => void

/**
 * Lets the reader of a connection see its end only after it has read all that came before.
 *
 * undici 7 takes an end badly while its parser is paused for a slow client: an assertion fails
 * in the event and the process ends (nodejs/undici#5360, mended in undici 8, which needs
 * Node 22), or the rest of the answer is thrown away. So the end waits: undici calls `read()`
 * only while its parser is not paused, and a `null` says that nothing is left.
 *
 * The same with a reset: what had arrived by then is read first. And where the backend stops
 * listening, the answer that it left behind counts, not the error of our writing.
 *
 * Memory: no more than the socket buffers anyway. After a `release` the socket is Node's own
 * again.
 */
export class LastBytes {
  static readonly #all = new WeakMap<Duplex, LastBytes>()
  readonly #socket: Socket
  readonly #push: Socket['push']
  readonly #read: Socket['read']
  readonly #destroy: Socket['destroy']
  readonly #write: Socket['_write']
  readonly #writev: Socket['_writev']
  /** How the connection ended, as far as the reader does not know yet. */
  #farewell: 'end' | NodeJS.ErrnoException | undefined
  #asking = false
  /** Why nothing more can be written. */
  #deaf: NodeJS.ErrnoException | undefined
  #written: WriteDone = () => {}

  constructor(socket: Socket) {
    LastBytes.#all.set(socket, this)
    this.#socket = socket
    this.#push = socket.push
    this.#read = socket.read
    this.#destroy = socket.destroy
    const { _write, _writev } = socket
    this.#write = _write
    this.#writev = _writev
    socket.push = (chunk, encoding) => {
      if (chunk !== null) return this.#push.call(socket, chunk, encoding)
      this.#hold('end')
      return false
    }
    socket.read = size => {
      const chunk = this.#read.call(socket, size)
      // With a size it is Node itself that asks.
      if (chunk === null && size === undefined && this.#farewell !== undefined) {
        // `resume()` of undici's parser reads first and goes on parsing then: ask once more.
        if (this.#asking) this.#tell(this.#farewell)
        else process.nextTick(this.#ask)
      }
      return chunk
    }
    socket.destroy = error => {
      const { syscall } = (error ?? {}) as NodeJS.ErrnoException
      if (syscall !== 'read') return this.#destroy.call(socket, error)
      this.#hold(error as Error)
      return socket
    }
    // A stream has one write under way at a time: one callback serves them all.
    socket._write = (chunk, encoding, done) => {
      this.#written = done
      _write.call(socket, chunk, encoding, this.#onWritten)
    }
    if (_writev !== undefined) {
      socket._writev = (chunks, done) => {
        this.#written = done
        _writev.call(socket, chunks, this.#onWritten)
      }
    }
  }

  /** Those of a socket that has them. */
  static of(socket: Duplex): LastBytes | undefined {
    return LastBytes.#all.get(socket)
  }

  /** For whoever takes the socket over, with all that has arrived. */
  release(): void {
    const socket = this.#socket
    // Not deleted: V8 would keep the socket as a dictionary.
    socket.push = this.#push
    socket.read = this.#read
    socket.destroy = this.#destroy
    socket._write = this.#write
    if (this.#writev !== undefined) socket._writev = this.#writev
    if (this.#farewell !== undefined) this.#end()
    if (this.#deaf !== undefined) this.#written(this.#deaf)
  }

  #hold(farewell: 'end' | NodeJS.ErrnoException): void {
    if (this.#farewell !== undefined) return
    this.#farewell = farewell
    if (farewell === 'end' && this.#deaf === undefined && isGone(this.#socket)) {
      // Where libuv finds the last bytes and a reset at once it speaks of an orderly end. Only
      // writing tells the two apart, see `#tell`; nothing leaves a connection that is gone.
      this.#socket.write('\r\n')
      setImmediate(this.#ask)
    } else process.nextTick(this.#ask)
  }

  /** A reader that is not paused answers with `read()`, once there is nothing left. */
  readonly #ask = (): void => {
    if (this.#farewell === undefined) return
    this.#asking = true
    this.#socket.emit('readable')
    this.#asking = false
  }

  #tell(farewell: 'end' | NodeJS.ErrnoException): void {
    // A reset is told once: when it is to the writer, the reader sees an orderly end. Where
    // the backend really had ended before, Linux tells the writer EPIPE instead.
    const reset = farewell === 'end' ? this.#deaf : farewell
    if (reset === undefined || (reset.syscall === 'write' && reset.code === 'EPIPE')) {
      this.#end()
    } else {
      this.#farewell = undefined
      this.#destroy.call(this.#socket, new ConnectionLost(reset))
    }
  }

  #end(): void {
    this.#farewell = undefined
    this.#push.call(this.#socket, null)
    this.#read.call(this.#socket, 0)
  }

  readonly #onWritten: WriteDone = error => {
    const { code } = (error ?? {}) as NodeJS.ErrnoException
    if (code !== 'EPIPE' && code !== 'ECONNRESET') {
      this.#written(error)
      return
    }
    // Left unsaid: a write that never ends keeps the sender quiet until the reader is done.
    // The reader will be, for the connection is gone.
    this.#deaf = error as NodeJS.ErrnoException
  }
}

/** Whether the kernel has closed the connection altogether: a reset came. */
function isGone(socket: Socket): boolean {
  // No public way asks afresh: `remoteAddress` remembers.
  const { _handle: handle } = socket as {
    _handle?: { getpeername?(into: object): number }
  }
  return handle?.getpeername !== undefined && handle.getpeername({}) !== 0
}

/**
 * The connection was reset. It has the code that undici uses for a connection that went away:
 * at ECONNRESET it would take an answer that ends with its connection for a whole one, and
 * give up requests that were never sent.
 */
export class ConnectionLost extends Error {
  readonly code = 'UND_ERR_SOCKET'
  readonly reason: Error

  constructor(reason: Error) {
    super('connection reset')
    this.reason = reason
    this.name = 'ConnectionLost'
  }
}
