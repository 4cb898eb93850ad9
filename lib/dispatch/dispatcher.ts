import type { Backend } from '../backend/backend.ts'
import type { BoundClient } from '../backend/request.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { Affinity, Seat } from './affinity/affinity.ts'
import { SeatHandler } from './affinity/seat-handler.ts'
import { Deadline } from './around/deadline.ts'
import { DeferredCall } from './around/deferred-call.ts'
import { TimedHandler } from './around/timed-handler.ts'
import { Attempts, type AttemptsOptions } from './attempts.ts'
import { Candidates, type CandidateWishes } from './candidates.ts'
import type { DispatchCall, DispatchHandler, DispatchRequest } from './dispatch.ts'
import { type Ask, Hedged } from './hedge/hedged.ts'
import { Hedging, type HedgingParts, mayHedge } from './hedge/hedging.ts'
import { Queued, type QueueOptions } from './queue/queued.ts'
import {
  mayResume,
  type ResumeContext,
  ResumedResponse,
} from './resumed-response/resumed-response.ts'
import { resolveRetries } from './retry/options.ts'
import { Retrying, type RetryState } from './retry/retrying.ts'
import type { Choosable } from './selection/policy.ts'
import type { Selection } from './selection/selection.ts'

/** How responses that break off are gone on with. */
export type Resuming = Omit<ResumeContext, 'send'>

/** What a dispatcher does beyond choosing a backend and asking the next; undefined: it does not. */
export interface DispatcherParts {
  /** Default: as the options are by default. */
  readonly retrying?: Retrying | undefined
  readonly resuming?: Resuming | undefined
  /** Clients go where they were before. */
  readonly affinity?: Affinity | undefined
  /** Requests wait for backends that have no room. */
  readonly queue?: QueueOptions | undefined
  /** A second backend is asked when the first is slow. Default: none is. */
  readonly hedging?: HedgingParts | undefined
  /** Default: none. */
  readonly timeouts?: DispatchTimeouts | undefined
  readonly clock?: Clock | undefined
}

/** Hard limits in milliseconds; 0: none. */
export interface DispatchTimeouts {
  /** From when a request is handed over until the last byte of its answer. */
  readonly request: number
  /** From when it is given to a backend until that begins to answer. */
  readonly try: number
}

/** Of a client that is to come. */
const aVisit = { method: 'GET', upgrade: undefined }

const noTimeouts: DispatchTimeouts = { request: 0, try: 0 }

type Wishes = CandidateWishes<Backend>

const noWishes: Wishes = {}

/**
 * The backends of one site, from outside: it takes requests, and sees to the rest.
 *
 * - Which backend is first: `Selection`. Which are passed over: `Backend.ready`.
 * - Who gets one: `Slots`. Who waits for one, and whose turn it is: `Queued` and `Lines`.
 * - Whether and where it is sent again: `Retrying`, `Candidates` and Attempts.
 * - What becomes of the answer: a handler around the one that is given, as ResumedResponse is.
 */
export class Dispatcher {
  readonly #selection: Selection<Backend>
  readonly #attempts: AttemptsOptions
  readonly #resuming: ResumeContext | undefined
  readonly #affinity: Affinity | undefined
  readonly #queue: QueueOptions | undefined
  readonly #hedging: Hedging | undefined
  readonly #timeouts: DispatchTimeouts
  readonly #clock: Clock

  constructor(
    selection: Selection<Backend>,
    {
      retrying = new Retrying(resolveRetries(), systemClock),
      resuming,
      affinity,
      queue,
      hedging,
      timeouts = noTimeouts,
      clock = systemClock,
    }: DispatcherParts = {},
  ) {
    this.#selection = selection
    this.#resuming = resuming && {
      ...resuming,
      send: (request, handler, origin) =>
        this.#send(request, handler, { avoid: this.#backendAt(origin) }),
    }
    this.#affinity = affinity
    this.#queue = queue
    this.#hedging = hedging && new Hedging(hedging, retrying)
    this.#timeouts = timeouts
    this.#clock = clock
    const waits = queue !== undefined
    this.#attempts = { retrying, timeout: timeouts.try, waits, clock }
  }

  /** Both sides of a request may speak at the same time, at every backend. */
  get isDuplex(): boolean {
    return this.#selection.backends.every(({ protocol }) => protocol === 'http2')
  }

  /** What URLs call the backend of an origin; undefined where they name none. */
  urlNameAt(origin: string): string | undefined {
    const affinity = this.#affinity
    if (affinity?.byUrl !== true) return undefined
    const backend = this.#backendAt(origin)
    return backend && affinity.nameOf(backend)
  }

  /** Whether URLs call a backend so. */
  isUrlName(name: string): boolean {
    const affinity = this.#affinity
    if (affinity?.byUrl !== true) return false
    return this.#selection.backends.some(one => affinity.nameOf(one) === name)
  }

  /**
   * What URLs call the backend that would have this client; undefined where they name none, or
   * none is ready. It is held there from now on.
   */
  urlNameFor(client: Choosable & Pick<DispatchRequest, 'named'>): string | undefined {
    const affinity = this.#affinity
    if (affinity?.byUrl !== true) return undefined
    const seat = affinity.urlSeat(client)
    const preference = affinity.preference(seat, this.#selection.backends)
    const choosing = { ...client, ...aVisit, preference }
    const backend = this.#selection.candidates(choosing).next()
    // One that is only tried because all are down is no place to send anybody.
    if (backend?.ready !== true) return undefined
    affinity.seated(seat, backend, this.#selection.backends)
    return affinity.nameOf(backend)
  }

  /**
   * Sends a request to some backend. More is built on it by handlers around handlers: one is
   * given on in the place of the one that it was given, passes on what it does not change, and
   * hands out a call of its own. Attempts is the last, before it come Hedged, Queued and
   * ResumedResponse.
   */
  dispatch(request: DispatchRequest, handler: DispatchHandler): DispatchCall {
    const { request: timeout } = this.#timeouts
    if (timeout === 0) return this.#place(request, handler)
    const deadline = new Deadline(handler, timeout, this.#clock)
    deadline.begin(this.#place(request, deadline))
    return deadline
  }

  #place(request: DispatchRequest, handler: DispatchHandler): DispatchCall {
    this.#attempts.retrying.deposit()
    const affinity = this.#affinity
    if (affinity === undefined) return this.#begin(request, handler)
    const seat = affinity.seatOf(request)
    if (!('then' in seat)) return this.#seated(affinity, seat, request, handler)
    const call = new DeferredCall(handler)
    void seat.then(found =>
      call.begin(() => this.#seated(affinity, found, request, handler)),
    )
    return call
  }

  /** Where the client was, if that can be. */
  #seated(
    affinity: Affinity,
    seat: Seat,
    request: DispatchRequest,
    handler: DispatchHandler,
  ): DispatchCall {
    const { backends } = this.#selection
    const preference = affinity.preference(seat, backends)
    const call: DispatchCall = this.#begin(
      { ...request, preference },
      new SeatHandler(handler, () => {
        const backend = backends.find(({ origin }) => origin === call.backend)
        return backend && affinity.seated(seat, backend, backends)
      }),
    )
    return call
  }

  #begin(request: DispatchRequest, handler: DispatchHandler): DispatchCall {
    if (this.#resuming === undefined || !mayResume(request)) {
      return this.#send(request, handler)
    }
    const response = new ResumedResponse(request, handler, this.#resuming)
    response.start()
    return response
  }

  #send(
    request: DispatchRequest,
    handler: DispatchHandler,
    wishes: Wishes = noWishes,
  ): DispatchCall {
    const state = this.#attempts.retrying.begin(request)
    if (this.#queue === undefined) return this.#attempt(request, handler, wishes, state)
    const queued = new Queued(
      request,
      handler,
      wishes,
      (...attempt) => this.#attempt(...attempt, state),
      this.#queue,
    )
    queued.start()
    return queued
  }

  #attempt(
    request: DispatchRequest,
    handler: DispatchHandler,
    given: Wishes,
    state: RetryState,
  ): DispatchCall {
    const holder = given.first ?? this.#holderOf(request.client)
    const wishes = holder === given.first ? given : { ...given, first: holder }
    const hedging = this.#selection.backends.length > 1 ? this.#hedging : undefined
    // Who waited for this backend has seen the others to be full.
    if (hedging === undefined || holder !== undefined || !mayHedge(request)) {
      return this.#try(request, handler, wishes, state)
    }
    const ask: Ask = (runner, first) => {
      if (first === undefined) return this.#try(request, runner, wishes, state)
      const beside = this.#backendAt(first)
      const other = this.#attempts.retrying.begin(request)
      return this.#try({ ...request, beside }, runner, wishes, other)
    }
    const hedged = new Hedged(handler, ask, hedging)
    hedged.start()
    return hedged
  }

  #try(
    request: DispatchRequest,
    handler: DispatchHandler,
    wishes: Wishes,
    state: RetryState,
  ): Attempts {
    const candidates = new Candidates(this.#selection.candidates(request), wishes)
    const { observe } = this.#selection
    const told =
      observe === undefined
        ? handler
        : new TimedHandler(handler, ms => observe(attempts.backend, ms))
    const attempts: Attempts = new Attempts(
      candidates,
      request,
      told,
      this.#attempts,
      state,
    )
    attempts.start()
    return attempts
  }

  #backendAt(origin: string | undefined): Backend | undefined {
    if (origin === undefined) return undefined
    return this.#selection.backends.find(one => one.origin === origin)
  }

  /** A log-in that holds for a connection holds at one backend only. */
  #holderOf(client: BoundClient | undefined): Backend | undefined {
    if (client === undefined) return undefined
    for (const backend of this.#selection.backends)
      if (backend.holds(client)) return backend
    return undefined
  }
}
