import type { Duplex } from 'node:stream'
import type { Limits } from '../options.ts'
import { type CloseCode, closeFrame, FrameBoundary } from './frame-boundary.ts'
import { relayed } from './relayed-bytes.ts'

export interface TunnelEnd {
  /** Bytes from the backend to the client. */
  readonly bytes: number
}

export interface TunnelOptions {
  readonly limits: Pick<Limits, 'tunnelTimeout' | 'bodyTimeout'>
  /** Called once, when both sides are done with. */
  readonly onEnd: (end: TunnelEnd) => void
}

/** Milliseconds for a client to take its leave when it is asked to. */
const farewellTime = 2_000

/**
 * A WebSocket from a client to a backend, until both sides have ended, one has failed, or neither
 * has said anything for `tunnelTimeout`. When one has ended, the other has `bodyTimeout` to take
 * what is left for it.
 *
 * A client whose backend is gone, or is to be let go, is told in a close frame, so that it knows
 * to come again: unless the backend said so itself, or died in the middle of a frame.
 */
export class Tunnel {
  readonly #client: Duplex
  readonly #backend: Duplex
  readonly #options: TunnelOptions
  readonly #frames = new FrameBoundary()
  #silence: NodeJS.Timeout
  #bytes = 0
  #open = 2
  /** The client hears nothing more. */
  #parted = false
  #leaving = false

  constructor(client: Duplex, backend: Duplex, options: TunnelOptions) {
    this.#client = client
    this.#backend = backend
    this.#options = options
    const { tunnelTimeout } = options.limits
    this.#silence = setTimeout(() => this.leave(), tunnelTimeout).unref()
    client.on('error', this.#destroy)
    // It is closed by then, and the client told.
    backend.on('error', () => {})
    backend.on('data', (chunk: Buffer) => this.#take(chunk))
    client.on('data', (chunk: Buffer) => this.#heard(chunk))
    backend.on('end', () => this.#part(1012))
    client.on('close', () => {
      this.#parted = true
      backend.end()
      if (!client.readableEnded) backend.destroy()
      this.#closed()
    })
    backend.on('close', () => {
      this.#part(1012)
      // Its answer to that, and its end, which nobody else waits for.
      client.unpipe(backend).resume()
      this.#closed()
    })
    client.pipe(backend)
    backend.pipe(client, { end: false })
    if (client.destroyed || backend.destroyed) this.#destroy()
  }

  /** Lets the client go, in order where that can be. */
  leave(): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#part(1001)
    this.#backend.end()
    this.#endAfter(farewellTime)
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length
    this.#frames.take(chunk)
    this.#heard(chunk)
  }

  /** Who has been let go can't put it off. */
  #heard(chunk: Buffer): void {
    relayed.count(chunk.length)
    if (!this.#parted) this.#silence.refresh()
  }

  #part(code: CloseCode): void {
    if (this.#parted) return
    this.#parted = true
    this.#backend.unpipe(this.#client)
    if (this.#frames.isBetween) this.#client.end(closeFrame(code))
    else if (this.#backend.readableEnded) this.#client.end()
    else this.#client.destroy()
    // Whatever it still says comes too late.
    this.#backend.resume()
  }

  #closed(): void {
    this.#open--
    if (this.#open === 0) {
      clearTimeout(this.#silence)
      this.#options.onEnd({ bytes: this.#bytes })
    } else if (!this.#leaving) this.#endAfter(this.#options.limits.bodyTimeout)
  }

  #endAfter(time: number): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(this.#destroy, time).unref()
  }

  readonly #destroy = (): void => {
    this.#client.destroy()
    this.#backend.destroy()
  }
}

/** Those that are open. */
export class Tunnels {
  readonly #open = new Set<Tunnel>()

  join(client: Duplex, backend: Duplex, { limits, onEnd }: TunnelOptions): void {
    const tunnel: Tunnel = new Tunnel(client, backend, {
      limits,
      onEnd: end => {
        this.#open.delete(tunnel)
        onEnd(end)
      },
    })
    this.#open.add(tunnel)
  }

  /** Tells all clients that nothing more comes. */
  leave(): void {
    for (const tunnel of this.#open) tunnel.leave()
  }
}
