import type { Server } from 'node:tls'
import { channels } from '../../channels.ts'
import type { ResumptionSettings } from './attachment.ts'
import type { Connection, Minted } from './connection.ts'
import { LastWords } from './last-words.ts'
import { mintRecord } from './mint.ts'
import type { MintLimit } from './mint-limit.ts'
import { handleNow } from './native-handle.ts'

/** Keeps the sessions that a server's TLS makes. */
export class Minting {
  /** Milliseconds; less than the farm's where the owner of the server says so. */
  sessionTimeout = 0
  readonly #server: Server
  readonly #settings: ResumptionSettings
  readonly #mintLimit: MintLimit

  constructor(server: Server, settings: ResumptionSettings, mintLimit: MintLimit) {
    this.#server = server
    this.#settings = settings
    this.#mintLimit = mintLimit
  }

  /**
   * In TLS 1.3 two sessions are made in a row and the first answer sends both tickets: they
   * are gathered and answered when both are stored, because the client may be on another
   * member a millisecond later. An end meanwhile answers them, too.
   * False when the session is not kept, and TLS may go on at once.
   */
  keep(connection: Connection, id: Buffer, session: Buffer, done: () => void): boolean {
    if (connection.policy.mode !== 'stateful') return false
    const handle = handleNow()
    if (
      handle.getServername !== undefined &&
      !connection.isNamed(handle.getServername())
    ) {
      return false
    }
    const reused = handle.isSessionReused?.()
    const resumed = connection.hasResumed(reused)
    if (!this.#mayStore(connection, resumed, session)) return false
    if (resumed !== true) connection.beginChain(id)
    connection.minted.push({ id, session, done })
    connection.sessions.push(Buffer.from(id))
    if (connection.minted.length > 1) return true
    const { minted } = connection
    const answer = () => {
      words.answered()
      for (const { done } of minted) done()
    }
    const words = new LastWords(handle, answer)
    const store = () => {
      connection.minted = []
      this.#store(minted, connection, resumed, answer)
    }
    // OpenSSL renews one ticket for one, and no other follows.
    if (reused === true) store()
    else setImmediate(store)
    return true
  }

  /** Decided once for all sessions of a handshake. */
  #mayStore(
    connection: Connection,
    reused: boolean | undefined,
    session: Buffer,
  ): boolean {
    const { clock, counters, limitCounters } = this.#settings
    const { socket } = connection
    const now = clock.monotonic()
    if (connection.mayStore === undefined) {
      connection.mayStore = this.#mintLimit.allows(socket, reused === true, now, session)
      if (!connection.mayStore) {
        counters.countUnstored('address-limit')
        limitCounters?.met('farm.mintLimit', socket.remoteAddress)
      }
    } else if (connection.mayStore) this.#mintLimit.add(socket, now, session)
    return connection.mayStore
  }

  #store(
    minted: readonly Minted[],
    connection: Connection,
    reused: boolean | undefined,
    answer: () => void,
  ): void {
    const { clock, store, lineageTimeout, mintBudget } = this.#settings
    const now = clock.now()
    const writes: Promise<boolean>[] = []
    for (const { id, session } of minted) {
      const record = mintRecord(session, id, connection, reused, now)
      if (record === undefined) continue
      // Node is about to close this connection: it had a certificate, and a bad one.
      if (connection.policy.clientRequired && !record.clientAuthorized) continue
      const end = Math.min(
        now + this.sessionTimeout,
        record.originalAt + lineageTimeout,
        record.certificateNotAfter || Number.POSITIVE_INFINITY,
      )
      if (end > now) writes.push(store.add(id, record, end - now, mintBudget))
    }
    const finish = (shared: boolean) => {
      answer()
      if (channels.mint.hasSubscribers) {
        channels.mint.publish({ server: this.#server, count: minted.length, shared })
      }
    }
    Promise.all(writes).then(
      outcomes => finish(outcomes.every(shared => shared)),
      error => {
        this.#settings.log.warn({ code: error?.code }, 'a session could not be stored')
        this.#settings.counters.countUnstored('failed')
        finish(false)
      },
    )
  }
}
