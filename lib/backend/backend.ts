import { type Clock, systemClock } from '../clock.ts'
import { type FailureKind, failureKind } from './failure.ts'
import type { CheckOptions } from './health/check-options.ts'
import { type EjectOptions, resolveEject } from './health/options.ts'
import { type EjectReason, PassiveHealth } from './health/passive-health.ts'
import { Http1Pool } from './http1/http1-pool.ts'
import { Http2Pool } from './http2/http2-pool.ts'
import { parseOrigin } from './origin.ts'
import type { PoolCall, PoolOptions } from './pool.ts'
import {
  type BackendHandler,
  type BackendRequest,
  type BoundClient,
  isIdempotent,
} from './request.ts'
import { type SlotOptions, Slots } from './slots.ts'
import { type BackendHandshakes, TlsSessions } from './tls-sessions.ts'

/**
 * - `http1`: HTTP/1.1.
 * - `http2`: HTTP/2 (gRPC needs it), by ALPN for https and with prior knowledge for http;
 *   WebSockets by HTTP/1.1.
 *
 * Never by what a client asks for: whoever may choose could have healthy backends fail.
 */
export type BackendProtocol = 'http1' | 'http2'

export interface BackendOptions extends PoolOptions, SlotOptions {
  /** Default `http1`. */
  readonly protocol?: BackendProtocol | undefined
  /** `maxRequests` is found out by latency, and is the most that it becomes. Default false. */
  readonly adaptive?: boolean | undefined
  /** Default: as the options are by default. */
  readonly eject?: EjectOptions | undefined
  /** How it is asked whether it is well. Default: not at all. */
  readonly check?: CheckOptions | undefined
}

/**
 * What choosing goes by. Health says whether a backend is well, the operator whether it may have
 * new clients; both tell the Backend, and no selection asks anybody else.
 */
export interface BackendState {
  /** May be sent requests, as far as is known. One that is not comes last. */
  readonly ready: boolean
  /**
   * It was passed over, and whoever goes there now finds out whether it is well. That is for a
   * request which can be sent again, unless none has come for long.
   */
  readonly unproven: boolean
  /**
   * May be sent some where too few others are ready: it is not well, but it is there, or nobody has
   * looked for a while.
   */
  readonly reachable: boolean
  /** It has just come, and is not to be used before a check has found it well. */
  readonly unchecked: boolean
  /**
   * Monotonic milliseconds since when it is there for new clients: `-Infinity` when it has been
   * from the start.
   */
  readonly readySince: number
  /** The operator lets it run dry: it keeps the clients that it has, and gets no others. */
  readonly draining: boolean
  /** Requests under way, as far as they cost it work. */
  readonly inFlight: number
  /**
   * It owes answers for a second or longer, or a connection to it was found dead a moment ago, and
   * it has said nothing since.
   */
  readonly doubtful: boolean
  /** Its part of what it would get, 0 to 1; 0: no new clients. `now`: monotonic milliseconds. */
  weight(now: number): number
}

/**
 * For so long, in milliseconds, requests that can't be sent again get connections of their own
 * from a backend that was seen to close one while a request was on its way.
 */
const distrust = 60_000

/**
 * For so long, in milliseconds, a dead connection says that the backend may be about to go. Where
 * all that comes can't be sent again, nothing would ever find out that it is not; and a connection
 * of before has been let go by then.
 */
const alarm = 4_000

/** Of so many milliseconds it is told that a backend says nothing. */
const silence = 1_000

/** Why a backend is passed over: by what its answers were, or by a check. */
export type PassedOver = EjectReason | 'check'

/** A server that requests are passed on to, and what is known of its state. */
export class Backend implements BackendState {
  readonly origin: string
  readonly protocol: BackendProtocol
  readonly #http1: Http1Pool
  /** Undefined where all goes by HTTP/1.1. */
  readonly #http2: Http2Pool | undefined
  readonly #clock: Clock
  readonly #sessions: TlsSessions
  /** To be had before a request is sent. */
  readonly slots: Slots
  #draining = false
  /** When it came beside others, or was given new clients again. */
  #joinedAt = -Infinity
  readonly #passive: PassiveHealth
  /** Told when it is passed over, and why, and with undefined when it is not any more. */
  onHealth: (reason: PassedOver | undefined) => void = () => {}
  readonly #onDown: (() => void)[] = []
  /** What a check has found: undefined before the first one. */
  #found: boolean | undefined
  #foundAt = -Infinity
  readonly #beforeUse: boolean
  /** When a kept-alive connection was found dead; has the backend said anything since? */
  #deadAt = -Infinity
  #foundDead = false
  /** When it was sent the first request since it last said anything. */
  #unheardSince = Infinity
  /** Answers that have begun, since start. */
  heard = 0
  /** It has a request that nobody waits for, but to see whether it says anything. */
  watched = false
  /** Requests that were given to it, since start. */
  sent = 0
  /** What went wrong since start. */
  readonly errors: { [kind in FailureKind]?: number } = {}

  constructor(address: string, options: BackendOptions) {
    const url = parseOrigin(address)
    this.origin = originOf(url, options.address)
    this.#clock = options.clock ?? systemClock
    this.#sessions = new TlsSessions(this.#clock)
    const pools = { ...options, sessions: this.#sessions }
    this.#http1 = new Http1Pool(url, pools)
    this.protocol = options.protocol ?? 'http1'
    if (this.protocol === 'http2') this.#http2 = new Http2Pool(url, pools)
    this.slots = new Slots(options)
    this.#passive = new PassiveHealth(options.eject ?? resolveEject())
    this.#beforeUse = options.check?.beforeUse ?? false
  }

  get ready(): boolean {
    if (this.#isFoundDown) return false
    const { reason } = this.#passive
    return reason === undefined || this.#passive.isReady(this.#clock.monotonic())
  }

  get unproven(): boolean {
    const { reason } = this.#passive
    return reason !== undefined && !this.#passive.isOverdue(this.#clock.monotonic())
  }

  get reachable(): boolean {
    // Where checks say that all are down, nobody is ready and so nobody would try it ever again.
    const { reason } = this.#passive
    return reason !== 'unreachable' || this.#passive.isReady(this.#clock.monotonic())
  }

  get readySince(): number {
    return Math.max(this.#passive.closedAt, this.#foundAt, this.#joinedAt)
  }

  get draining(): boolean {
    return this.#draining
  }

  set draining(draining: boolean) {
    if (this.#draining && !draining) this.join()
    this.#draining = draining
  }

  /** Others are at work already, and it has just come. */
  join(): void {
    this.#joinedAt = this.#clock.monotonic()
  }

  /** `listener` is called whenever it has come to be passed over, or for another reason. */
  onDown(listener: () => void): void {
    this.#onDown.push(listener)
  }

  /** Why it is passed over, for now. */
  get passedOver(): PassedOver | undefined {
    return this.#isFoundDown ? 'check' : this.#passive.reason
  }

  get unchecked(): boolean {
    return this.#beforeUse && this.#found === undefined
  }

  /** Of TLS, since start. */
  get handshakes(): BackendHandshakes {
    return this.#sessions.handshakes
  }

  get #isFoundDown(): boolean {
    return this.#found === false || this.unchecked
  }

  /** Of a request that is sent now: to be told with what becomes of it. */
  get epoch(): number {
    return this.#passive.epoch
  }

  get inFlight(): number {
    return this.slots.inFlight
  }

  get doubtful(): boolean {
    if (this.#foundDead && this.#clock.monotonic() - this.#deadAt < alarm) return true
    if (this.#unheardSince === Infinity || this.inFlight === 0) return false
    return this.#clock.monotonic() - this.#unheardSince >= silence
  }

  weight(_now: number): number {
    return this.draining ? 0 : 1
  }

  /** Sends a request, for which a slot has been taken. `fresh`: on a new connection. */
  send(request: BackendRequest, handler: BackendHandler, fresh = false): PoolCall {
    this.sent += 1
    // Those before it that it never answered were given up: it owes this one alone.
    if (this.#unheardSince === Infinity || this.inFlight <= 1) {
      this.#unheardSince = this.#clock.monotonic()
    }
    if (this.#passive.reason !== undefined) {
      this.#judge(() => this.#passive.sent(this.#clock.monotonic()))
    }
    if (this.#http2 !== undefined && request.upgrade === undefined) {
      return this.#http2.send(request, handler, fresh)
    }
    return this.#http1.send(request, handler, fresh || this.#isTooDear(request))
  }

  /** A request has found a kept-alive connection dead. */
  foundDead(): void {
    this.#deadAt = this.#clock.monotonic()
    this.#foundDead = true
  }

  /** It can't be sent again, and a connection that was kept alive may not be. */
  #isTooDear(request: BackendRequest): boolean {
    if (this.#deadAt === -Infinity || isIdempotent(request)) return false
    return this.#clock.monotonic() - this.#deadAt < distrust
  }

  /** Whether connections to it are bound to this client by a log-in. */
  holds(client: BoundClient): boolean {
    return this.#http1.holds(client)
  }

  /** Takes note that a request had no answer. `reached`: there was a connection. */
  failed(error: Error, epoch: number, reached: boolean): void {
    const kind = failureKind(error)
    this.#unheardSince = Infinity
    this.errors[kind] = (this.errors[kind] ?? 0) + 1
    this.#judge(() => {
      const fault = reached ? 'error' : 'unreachable'
      this.#passive.failed(fault, epoch, this.#clock.monotonic())
    })
  }

  /** An answer has begun. */
  answered(status: number, epoch: number): void {
    const now = this.#clock.monotonic()
    this.heard += 1
    this.#unheardSince = Infinity
    this.#foundDead = false
    this.#judge(() => {
      if (isBadAnswer(status)) this.#passive.failed('bad-answer', epoch, now)
      else this.#passive.answered(epoch, now)
    })
  }

  /** An answer is over, and was whole. */
  ended(status: number, epoch: number): void {
    if (isBadAnswer(status)) return
    this.#judge(() => this.#passive.ended(epoch, this.#clock.monotonic()))
  }

  /** A check has found it well, or not. */
  found(up: boolean): void {
    this.#judge(() => {
      if (up && this.#found === false) this.#foundAt = this.#clock.monotonic()
      this.#found = up
      const { reason } = this.#passive
      // That a page is there says nothing of the errors of others.
      if (up && (reason === 'unreachable' || reason === 'error')) {
        this.#passive.close(this.#clock.monotonic())
      }
    })
  }

  /** Asks it something beside its work, on a connection of its own. */
  probe(request: BackendRequest, handler: BackendHandler): PoolCall {
    return (this.#http2 ?? this.#http1).send(request, handler, true)
  }

  #judge(event: () => void): void {
    const before = this.passedOver
    event()
    const reason = this.passedOver
    if (reason === before) return
    this.onHealth(reason)
    if (reason !== undefined) for (const listener of this.#onDown) listener()
  }

  /** Lets open requests finish, and those come that are on their way here already. */
  close(): void {
    this.#http1.close()
    this.#http2?.close()
  }

  /** Ends open requests. */
  async destroy(): Promise<void> {
    await Promise.all([this.#http1.destroy(), this.#http2?.destroy()])
  }
}

/** What stands before an application says when there is none behind it. */
export function isBadAnswer(status: number): boolean {
  return status === 502 || status === 503 || status === 504
}

/** One of several addresses of a name is told from the others. */
function originOf(url: URL, address: string | undefined): string {
  if (address === undefined) return url.origin
  const host = address.includes(':') ? `[${address}]` : address
  return new URL(
    `${url.protocol}//${host}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`,
  ).origin
}
