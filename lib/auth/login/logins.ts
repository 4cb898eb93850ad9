import { createHash } from 'node:crypto'
import type { Cache } from '../../cache/cache.ts'
import type { Clock } from '../../clock.ts'
import { tables } from '../../record/key.ts'
import type { EndableLogin, OpenExchanges } from '../open-exchanges.ts'
import { defaultRealm } from '../options.ts'
import { type Binding, type Login, readLogin, writeLogin } from './identity-record.ts'

export interface LoginsOptions {
  readonly cache: Cache
  readonly clock: Clock
  /** For this realm only. */
  readonly macKey: Buffer
  readonly realm: string
  /** Whom a log-out is to end. */
  readonly exchanges: OpenExchanges
  readonly lookupBudget: number
  readonly writeBudget: number
}

/** A record as it was read the last time. The table drops it at its end, whoever has seen it. */
export interface SeenLogin {
  value?: Buffer | undefined
  login?: Login | undefined
}

/** Log-ins in virtual table `auth`, farm-wide. What is not sound counts as not there. */
export class Logins {
  readonly #options: LoginsOptions
  readonly #realmTag: Buffer

  constructor(options: LoginsOptions) {
    this.#options = options
    this.#realmTag =
      options.realm === defaultRealm
        ? Buffer.alloc(0)
        : createHash('sha256').update(options.realm).digest().subarray(0, 8)
  }

  /**
   * The key is the lineage id, with a tag behind it in another realm than the default one, and
   * half of the print of the credentials where they must be shown.
   */
  placeOf(lineage: Buffer, serverName: string | undefined, print?: Buffer): Binding {
    const key = [lineage, this.#realmTag]
    if (print === undefined) return { key: Buffer.concat(key), serverName }
    key.push(print.subarray(0, 16))
    return { key: Buffer.concat(key), serverName, print: print.subarray(16) }
  }

  /** What this member has. */
  local(place: Binding, seen?: SeenLogin): Login | undefined {
    const value = this.#options.cache.getLocal(tables.auth, place.key)?.value
    if (seen === undefined || value === undefined) return this.#read(value, place)
    // The same bytes say the same: a connection need not check and parse them each time.
    if (seen.value?.equals(value)) return seen.login
    seen.login = this.#read(value, place)
    seen.value = value
    return seen.login
  }

  /** What this member has, or within the budget another one. */
  async find(place: Binding): Promise<Login | undefined> {
    const { cache, lookupBudget } = this.#options
    const found = await cache.get(tables.auth, place.key, lookupBudget)
    return this.#read(found?.value, place)
  }

  /** Logged out, and not logged in again since, as far as this member knows. */
  isEnded(place: Binding): boolean {
    return this.#options.cache.isDeleted(tables.auth, place.key)
  }

  /** Resolves when one other member has it, or the budget is up. */
  async add(place: Binding, login: Login): Promise<void> {
    const { cache, clock, macKey, writeBudget } = this.#options
    const end = login.kind === 'identity' ? login.identity.expiresAt : login.expiresAt
    const ttl = end - clock.now()
    if (!(ttl > 0)) return
    const value = writeLogin(login, place, macKey)
    await cache.add(tables.auth, place.key, value, {
      ttl,
      level: 'one',
      budget: writeBudget,
    })
  }

  /** It is over on its connection, whatever the farm remembers. */
  forgotten(login: EndableLogin): void {
    this.#options.exchanges.forgotten(login)
  }

  /** Resolves true when every reachable member has forgotten it. */
  async end(place: Binding): Promise<boolean> {
    this.#options.exchanges.loggedOut(place.key)
    // Found first, so that the tombstone is made to outlive it.
    await this.find(place)
    return this.#options.cache.delete(tables.auth, place.key, { level: 'all' })
  }

  #read(value: Buffer | undefined, place: Binding): Login | undefined {
    if (value === undefined) return undefined
    const login = readLogin(value, place, this.#options.macKey)
    if (login === undefined) return undefined
    const end = login.kind === 'identity' ? login.identity.expiresAt : login.expiresAt
    return end > this.#options.clock.now() ? login : undefined
  }
}
