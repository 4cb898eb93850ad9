import type { Server } from 'node:tls'
import { HandfastError } from '../errors.ts'
import {
  Attachment,
  type AttachOptions,
  type ResumptionSettings,
} from './server/attachment.ts'
import { EndedSessions } from './server/ended-sessions.ts'
import { MintLimit } from './server/mint-limit.ts'

/** The servers of this process whose sessions the farm shares. */
export class Resumption {
  readonly #settings: ResumptionSettings
  readonly #mintLimit: MintLimit
  readonly #attachments = new WeakMap<Server, Attachment>()
  /** Weak: a server that its owner has closed and forgotten does not stay in memory for us. */
  #servers: WeakRef<Server>[] = []
  readonly #endedSessions = new EndedSessions()
  #closed = false

  constructor(settings: ResumptionSettings) {
    this.#settings = settings
    const { mintLimit, mintRoom, sessionTimeout } = settings
    this.#mintLimit = new MintLimit({
      perMinute: mintLimit,
      room: mintRoom ?? (() => Number.POSITIVE_INFINITY),
      sessionTimeout,
    })
  }

  /**
   * Shares the sessions of a tls, https or http2 secure server, before or after it listens.
   * Throws ERR_HANDFAST_USAGE for a server that can't be served correctly.
   */
  attach(server: Server, options: AttachOptions = {}): void {
    if (this.#closed) throw new HandfastError('ERR_HANDFAST_CLOSED', 'the farm is closed')
    if (attached.has(server)) throw usage('the server is attached already')
    if (typeof server?.listenerCount !== 'function') throw usage('attach needs a server')
    for (const event of ['newSession', 'resumeSession']) {
      if (server.listenerCount(event) > 0) {
        throw usage(`the server has a '${event}' listener of its own: remove it first`)
      }
    }
    const attachment = new Attachment(server, options, this.#settings, this.#mintLimit)
    this.#attachments.set(server, attachment)
    this.#endedSessions.watch(server)
    this.#servers = this.#servers.filter(held => held.deref() !== undefined)
    this.#servers.push(new WeakRef(server))
    attached.add(server)
  }

  /** Leaves the server as `attach` found it. Nothing happens when it is not attached here. */
  detach(server: Server): void {
    const attachment = this.#attachments.get(server)
    if (attachment === undefined) return
    attachment.detach()
    this.#endedSessions.leave(server)
    this.#attachments.delete(server)
    this.#servers = this.#servers.filter(held => held.deref() !== server)
    attached.delete(server)
  }

  close(): void {
    this.#closed = true
    for (const held of [...this.#servers]) {
      const server = held.deref()
      if (server !== undefined) this.detach(server)
    }
    this.#endedSessions.close()
  }
}

/** Of all farms of the process: a server belongs to one. */
const attached = new WeakSet<Server>()

function usage(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', message)
}
