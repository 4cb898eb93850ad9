import { randomBytes } from 'node:crypto'
import type { Backend } from '../../backend/backend.ts'
import { systemClock } from '../../clock.ts'
import { firstValueOf } from '../../http/fields.ts'
import { type Handshake, handshakeOf } from '../../resumption/handshake.ts'
import type { DispatchRequest, Preference } from '../dispatch.ts'
import { cookieOf } from '../selection/hash-key.ts'
import { keyPolicy } from '../selection/rendezvous.ts'
import type { AffinityTable, Noted } from './affinity-table.ts'
import { backendLabel, backendName } from './backend-name.ts'
import {
  type AffinityKind,
  type AffinityOptions,
  affinityKind,
  checkCookieName,
  usualAffinityTtl,
} from './options.ts'
import { type Place, PlaceCookie } from './place-cookie.ts'

/** A client that is to be sent where it was sent before. */
export interface Seat {
  /** Name of the backend that holds it; undefined for a client that is new. */
  readonly backend: string | undefined
  /** What it is known by in the table. */
  readonly name: string
  /** Whether its place is in a cookie. */
  readonly byCookie: boolean
  readonly session: string
  /** What says so is getting old. */
  readonly stale: boolean
}

/** What a seat is found by; see DispatchRequest. */
export type Seated = Pick<
  DispatchRequest,
  'fields' | 'network' | 'client' | 'trusted' | 'user' | 'named'
>

/** Longest value of a field that is told from another. */
const maxLength = 1_024
/** Of a TLS session that has brought more than one user: it is a gateway's, not a client's. */
const shared = 'shared'

/**
 * Keeps clients at their backends. A client whose backend fails is given a backup, the same by
 * every proxy, and stays there (row B6): the cookie that it gets says so, and for a client that
 * did not get it, or has none, the farm's table.
 */
export class Affinity {
  readonly ttl: number
  readonly #kind: AffinityKind
  readonly #given: ReadonlyMap<string, string>
  readonly #scope: string
  readonly #table: AffinityTable
  readonly #cookie: PlaceCookie
  readonly #names = new WeakMap<Backend, string>()
  /** The user that a TLS session was first seen with. */
  readonly #users = new WeakMap<Handshake, string>()

  /**
   * `scope`: what shares the places: a site, or a route that has backends of its own. `given`: by
   * origin, what backends are called in URLs.
   */
  constructor(
    options: AffinityOptions,
    scope: string,
    table: AffinityTable,
    given: ReadonlyMap<string, string> = new Map(),
  ) {
    const { cookie = cookieName(scope), ttl = usualAffinityTtl } = options
    checkCookieName(cookie)
    this.#kind = affinityKind(options.by)
    this.#given = given
    this.ttl = ttl
    this.#scope = scope
    this.#table = table
    this.#cookie = new PlaceCookie(cookie, table.key, scope, ttl)
  }

  /** URLs name backends. */
  get byUrl(): boolean {
    const { by } = this.#kind
    return by === 'path' || by === 'host'
  }

  nameOf(backend: Backend): string {
    let name = this.#names.get(backend)
    if (name === undefined) {
      const { origin } = backend
      name = this.byUrl
        ? (this.#given.get(origin) ?? backendLabel(this.#table.key, origin))
        : backendName(this.#table.key, origin)
      this.#names.set(backend, name)
    }
    return name
  }

  /** Where the client was; a promise only when another member has to be asked. */
  seatOf(request: Seated): Seat | Promise<Seat> {
    const { by } = this.#kind
    if (this.byUrl) return this.urlSeat(request)
    if (by === 'header') {
      const value = firstValueOf(request.fields, this.#kind.header)
      if (value !== undefined) return this.#named(`header ${value.slice(0, maxLength)}`)
    } else if (by === 'tls-session') {
      const seat = this.#seatOfSession(request)
      if (seat !== undefined) return seat
    }
    return this.#seatOfCookie(request)
  }

  /** What choosing is to go by. `backends`: those that there are. */
  preference(seat: Seat, backends: readonly Backend[]): Preference {
    const { backend: name, session } = seat
    const first =
      name === undefined ? undefined : backends.find(one => this.nameOf(one) === name)
    // Whoever is new goes where there is room. A field may come to two proxies at once, which
    // must agree before either has noted it.
    const decided = name !== undefined || seat.name.startsWith('header ')
    return { first, policy: decided ? keyPolicy(session) : undefined }
  }

  /**
   * The backend that has answered holds the client from now on. Answers a Set-Cookie when the
   * client has to know. `backends`: those that there are.
   */
  seated(seat: Seat, backend: Backend, backends: readonly Backend[]): string | undefined {
    const name = this.nameOf(backend)
    if (seat.backend === name && !seat.stale) return undefined
    if (this.#needsEntry(seat, name, backends)) {
      this.#table.note(`${this.#scope}\0${seat.name}`, name, this.ttl)
    }
    if (!seat.byCookie) return undefined
    const place = { backend: name, session: seat.session, madeAt: systemClock.now() }
    return this.#cookie.issue(place)
  }

  #needsEntry(seat: Seat, name: string, backends: readonly Backend[]): boolean {
    const moved = seat.backend !== undefined && seat.backend !== name
    if (seat.byCookie) return moved
    // A URL says itself where its client is, as long as nobody else has had to take it; and
    // entries for names that anybody can make up would fill the table.
    if (this.byUrl)
      return moved && backends.some(one => this.nameOf(one) === seat.backend)
    return true
  }

  /**
   * A client that shows the URL of a backend which has failed it stays with the backup, whatever
   * it shows later. It is known by its network, for a URL may be anybody's.
   */
  urlSeat({ named, network }: Pick<Seated, 'named' | 'network'>): Seat {
    const name = `url ${named ?? ''} ${network ?? ''}`
    const noted =
      named === undefined || network === undefined || this.#table.empty
        ? undefined
        : this.#table.local(`${this.#scope}\0${name}`)
    return {
      backend: noted?.backend ?? named,
      name,
      byCookie: false,
      session: name,
      stale: false,
    }
  }

  #seatOfCookie(request: Seated): Seat {
    const now = systemClock.now()
    const text = cookieOf(request, this.#cookie.name)
    const place = text === undefined ? undefined : this.#cookie.read(text, now)
    if (place === undefined) {
      const session = randomBytes(9).toString('base64url')
      const name = `cookie ${session}`
      return { backend: undefined, name, byCookie: true, session, stale: false }
    }
    return this.#moved(place, now)
  }

  /** A client may show its old cookie again: the answer with the new one was lost, or is late. */
  #moved({ session, backend, madeAt }: Place, now: number): Seat {
    const name = `cookie ${session}`
    const noted = this.#table.empty
      ? undefined
      : this.#table.local(`${this.#scope}\0${name}`)
    const newer = noted !== undefined && noted.endsAt - this.ttl > madeAt
    return {
      backend: newer ? noted.backend : backend,
      name,
      byCookie: true,
      session,
      // Whoever shows the old one is to get the new one.
      stale: newer || now - madeAt > this.ttl / 2,
    }
  }

  #seatOfSession(request: Seated): Seat | Promise<Seat> | undefined {
    const { client, trusted, user } = request
    if (trusted === true || client === undefined) return undefined
    const handshake = handshakeOf(client)
    if (handshake?.lineage === undefined) return undefined
    const name = `lineage ${handshake.lineage.toString('base64url')}`
    const known = this.#users.get(handshake)
    if (known === shared) return undefined
    if (user !== undefined) {
      if (known === undefined) this.#users.set(handshake, `user ${user}`)
      else if (known !== `user ${user}`) {
        this.#users.set(handshake, shared)
        this.#table.note(`${this.#scope}\0${name}`, shared, this.ttl)
        return undefined
      }
    }
    // Nobody has heard of a session that has just been made.
    const seat = this.#named(name, handshake.resumed === false)
    if ('then' in seat) {
      return seat.then(found => {
        if (found.backend !== shared) return found
        this.#users.set(handshake, shared)
        return this.#seatOfCookie(request)
      })
    }
    if (seat.backend !== shared) return seat
    this.#users.set(handshake, shared)
    return undefined
  }

  #named(name: string, fresh = false): Seat | Promise<Seat> {
    const key = `${this.#scope}\0${name}`
    const seat = (noted: Noted | undefined): Seat => ({
      backend: noted?.backend,
      name,
      byCookie: false,
      session: name,
      stale: noted !== undefined && noted.endsAt - systemClock.now() < this.ttl / 2,
    })
    const here = this.#table.local(key)
    if (here !== undefined || fresh) return seat(here)
    return this.#table.find(key).then(seat)
  }
}

function cookieName(scope: string): string {
  const route = /\0(.*)$/s.exec(scope)?.[1] ?? ''
  return `__Host-handfast-backend${route === '' ? '' : `-${route}`}`
}
