import type { Server } from 'node:tls'
import { channels } from '../../channels.ts'
import type { Clock } from '../../clock.ts'
import type { LimitCounters } from '../../limit/limit-counters.ts'
import type { Log } from '../../log.ts'
import type { HandshakeCounters } from '../counters.ts'
import { LastWords } from '../native/last-words.ts'
import { handleNow } from '../native/native-handle.ts'
import type { Consultation, Resumed, ServerTerms } from '../session/consultation.ts'
import { issuedSession } from '../session/issued-session.ts'
import type {
  Mechanism,
  PendingHandshake,
  UnissuedSession,
} from '../session/pending-handshake.ts'
import type { SessionStore } from '../session/session-store.ts'
import type { MintLimit } from './mint-limit.ts'

export interface IssueOptions {
  readonly store: SessionStore
  readonly counters: HandshakeCounters
  readonly limitCounters?: LimitCounters | undefined
  readonly clock: Clock
  readonly log: Log
  /** Milliseconds from the original handshake. */
  readonly lineageTimeout: number
  /**
   * Longest wait for another member to have a session before the client is given it, in
   * milliseconds.
   */
  readonly mintBudget: number
}

/** Sessions that the farm stores: the client has the ID, which in TLS 1.3 is all of its ticket. */
export class StatefulSessions implements Mechanism {
  readonly #server: Server
  readonly #options: IssueOptions
  readonly #terms: ServerTerms
  readonly #consultation: Consultation
  readonly #mintLimit: MintLimit

  constructor(
    server: Server,
    options: IssueOptions,
    terms: ServerTerms,
    consultation: Consultation,
    mintLimit: MintLimit,
  ) {
    this.#server = server
    this.#options = options
    this.#terms = terms
    this.#consultation = consultation
    this.#mintLimit = mintLimit
  }

  confirm({ offered }: PendingHandshake): Resumed | undefined {
    return this.#consultation.confirm(offered)
  }

  /** Its chain begins with its first session, which may be made later. */
  begin(): void {}

  /**
   * In TLS 1.3 two sessions are made in a row and the first answer sends both tickets: they
   * are gathered and answered when both are stored, because the client may be on another
   * member a millisecond later. An end meanwhile answers them, too.
   */
  keep(
    handshake: PendingHandshake,
    id: Buffer,
    session: Buffer,
    done: () => void,
  ): boolean {
    const handle = handleNow()
    if (
      handle.getServername !== undefined &&
      !handshake.isNamed(handle.getServername())
    ) {
      return false
    }
    const reused = handle.isSessionReused?.()
    const resumed = handshake.hasResumed(reused)
    if (!this.#mayStore(handshake, resumed, session)) return false
    if (resumed !== true) handshake.beginChain(id)
    handshake.unissued.push({ id, session, done })
    handshake.sessions.push(Buffer.from(id))
    if (handshake.unissued.length > 1) return true
    const { unissued } = handshake
    const answer = () => {
      words.answered()
      for (const { done } of unissued) done()
    }
    const words = new LastWords(handle, answer)
    const store = () => {
      handshake.unissued = []
      this.#store(unissued, handshake, resumed, answer)
    }
    // OpenSSL renews one ticket for one, and no other follows.
    if (reused === true) store()
    else setImmediate(store)
    return true
  }

  /** Decided once for all sessions of a handshake. */
  #mayStore(
    handshake: PendingHandshake,
    reused: boolean | undefined,
    session: Buffer,
  ): boolean {
    const { clock, counters, limitCounters } = this.#options
    const { socket } = handshake
    const now = clock.monotonic()
    if (handshake.mayStore === undefined) {
      handshake.mayStore = this.#mintLimit.allows(socket, reused === true, now, session)
      if (!handshake.mayStore) {
        counters.countUnstored('address-limit')
        limitCounters?.met('farm.mintLimit', socket.remoteAddress)
      }
    } else if (handshake.mayStore) this.#mintLimit.add(socket, now, session)
    return handshake.mayStore
  }

  #store(
    unissued: readonly UnissuedSession[],
    handshake: PendingHandshake,
    reused: boolean | undefined,
    answer: () => void,
  ): void {
    const { clock, store, lineageTimeout, mintBudget } = this.#options
    const now = clock.now()
    const writes: Promise<boolean>[] = []
    for (const { id, session } of unissued) {
      const record = issuedSession(session, id, handshake, reused, now)
      if (record === undefined) continue
      // Node is about to close this connection: it had a certificate, and a bad one.
      if (handshake.policy.clientRequired && !record.clientAuthorized) continue
      const end = Math.min(
        now + this.#terms.sessionTimeout,
        record.originalAt + lineageTimeout,
        record.certificateNotAfter || Number.POSITIVE_INFINITY,
      )
      if (end > now) writes.push(store.add(id, record, end - now, mintBudget))
    }
    const finish = (shared: boolean) => {
      answer()
      if (channels.mint.hasSubscribers) {
        channels.mint.publish({ server: this.#server, count: unissued.length, shared })
      }
    }
    Promise.all(writes).then(
      outcomes => finish(outcomes.every(shared => shared)),
      error => {
        this.#options.log.warn({ code: error?.code }, 'a session could not be stored')
        this.#options.counters.countUnstored('failed')
        finish(false)
      },
    )
  }
}
