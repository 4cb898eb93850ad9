import type { Clock, Timer } from '../clock.ts'
import type { Identified } from './decision.ts'
import type { ConnectionState, ConnectionStates } from './login/connection-state.ts'
import type { Remembered } from './login/remembered.ts'
import type { RememberedLogin } from './login/remembered-login.ts'
import type { Methods } from './method/methods.ts'
import type { Admission, OpenExchanges } from './open-exchanges.ts'
import type { AuthRequest } from './request/request.ts'

export interface AdmissionsOptions {
  /** Of the member: those of all its auths. */
  readonly exchanges: OpenExchanges
  readonly methods: Methods
  readonly states: ConnectionStates
  readonly remembered: Remembered
  readonly clock: Clock
  /** Print of the credentials in a request that the client would show again. */
  readonly printOf: (request: AuthRequest) => Buffer | undefined
  /** Whether the TLS session alone tells the user of this request; see `rememberBy`. */
  readonly bySession: (request: AuthRequest) => boolean
}

/** Notes what was let in, and looks whether it still may be for as long as it is open. */
export class Admissions {
  readonly #options: AdmissionsOptions
  #watching: Timer | undefined
  #retired = false

  constructor(options: AdmissionsOptions) {
    this.#options = options
    const { methods, exchanges } = options
    methods.onChange(() => exchanges.review())
  }

  /** Notes that the request is open, and as whom. */
  hold(login: Identified, request: AuthRequest): void {
    const { exchanges, states } = this.#options
    const admission = this.#admissionOf(login, request, states.of(request.socket))
    this.#watch()
    if (request.exchange === undefined) exchanges.addOn(request.socket, admission)
    else exchanges.add(request.exchange, admission)
  }

  /** Nothing ends it any more, for it is the one that asks for that. */
  letGo({ exchange, socket }: AuthRequest): void {
    this.#options.exchanges.letGo(exchange, socket)
  }

  /** Nobody is let in any more; what is open is looked after until it is over. */
  retire(): void {
    this.#retired = true
  }

  close(): void {
    this.#watching?.cancel()
    this.retire()
  }

  /** By what the request was let in: what ends it when it ends. */
  #admissionOf(
    { identity, basis }: Identified,
    request: AuthRequest,
    state: ConnectionState | undefined,
  ): Admission {
    const { remembered: known, methods, printOf, bySession } = this.#options
    const { stands } = methods
    const keys = known.cookiePlaces(request).map(({ key }) => key)
    const remembered: RememberedLogin[] = []
    if (state !== undefined) {
      const print = printOf(request)
      if (print !== undefined) remembered.push(state.shown(print))
      if (identity.method === 'certificate' || bySession(request)) {
        remembered.push(state.session)
        const login = state.session.local()
        if (login?.kind === 'reference') keys.push(login.key)
      }
    }
    const lineage = state?.handshake.lineage
    return { identity, basis, stands, lineage, keys, remembered }
  }

  /** While something is open no request need come to look whether it still may be. */
  #watch(): void {
    const { methods, clock } = this.#options
    if (this.#watching !== undefined || !methods.canChange) return
    this.#watching = clock.after(watchInterval, () => {
      this.#watching = undefined
      methods.look()
      if (this.#isNeeded()) this.#watch()
    })
  }

  #isNeeded(): boolean {
    const { exchanges, methods } = this.#options
    return this.#retired ? exchanges.hasOf(methods.stands) : exchanges.size > 0
  }
}

/** How often it is looked for changes while something is open, in milliseconds. */
const watchInterval = 1_000
