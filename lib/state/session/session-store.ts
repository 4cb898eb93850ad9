import { EventEmitter } from 'node:events'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import {
  aFunction,
  anything,
  aText,
  checkOptions,
  type OptionRules,
} from '../../options/check-options.ts'
import { fillNumbers, type NumberRules } from '../../options/number-options.ts'
import { shown } from '../../shown.ts'
import { longestTtl } from '../options.ts'
import type { StateEntry } from '../state-entry.ts'
import type { StateTable } from '../state-table.ts'
import { type Fields, isChanged, mergeFields } from './merge-fields.ts'

/** Times in milliseconds. */
export interface SessionStoreOptions {
  /** Table of the sessions. Default `sessions`. */
  readonly table?: string | undefined
  /** Life of a session whose cookie has no end, from its last use. Default one day. */
  readonly ttl?: number | undefined
  /**
   * A use that puts the end off by less than this is not written; a session may end that much
   * earlier. Default 60 000, and never more than a hundredth of its life.
   */
  readonly touchInterval?: number | undefined
  /**
   * What becomes of a session that another request changed meanwhile (express-session only).
   * `merge` (default): of each field at the top the change stays that was made; where both
   * changed the same one, the later is refused with ERR_HANDFAST_CONFLICT. `refuse`: it always
   * is. `overwrite`: the later one stays, the other is lost.
   */
  readonly onConflict?: 'merge' | 'refuse' | 'overwrite' | undefined
}

/**
 * A store as express-session and @fastify/session want it, all of it, and with promises for who
 * leaves the callback out.
 */
export interface SessionStore extends EventEmitter {
  /** Undefined for none. */
  get(sid: string, callback: Answer<never>): void
  set(sid: string, session: object, callback?: Answer): void
  /** Puts its end off. One that is not there is not made. */
  touch(sid: string, session: object, callback?: Answer): void
  destroy(sid: string, callback?: Answer): void
  /** All that go on, each with its `id`. */
  all(callback: Answer<never>): void
  length(callback: Answer<number>): void
  clear(callback?: Answer): void
  regenerate(request: object, callback: Answer): void
  load(sid: string, callback: Answer<never>): void
  createSession(request: object, session: object): never
}

/** The callback of Node: an error or null, then what was asked for. */
export type Answer<T = void> = (error?: unknown, value?: T) => void

const rules: OptionRules<SessionStoreOptions> = {
  table: aText,
  ttl: anything,
  touchInterval: anything,
  onConflict: aText,
}

const day = 86_400_000

const numbers: NumberRules<'ttl' | 'touchInterval'> = {
  ttl: { unit: 'ms', usual: day, least: 1, most: 3_650 * day },
  touchInterval: { unit: 'ms', usual: 60_000, least: 0, most: day },
}

const conflictWords = ['merge', 'refuse', 'overwrite']

/** What a session was when it was read. */
interface Known {
  readonly sid: string
  readonly version: bigint
  readonly expiresAt: number | undefined
  /** JSON. */
  readonly text: string
}

interface Emitter {
  createSession?(request: object, session: object): object
}

type EmitterClass = new () => EventEmitter & Emitter

/** @internal */
export function storeOf(
  table: StateTable,
  base: unknown,
  options: SessionStoreOptions,
  log: Log,
): SessionStore {
  checkOptions('sessionStore', options, rules)
  const { ttl, touchInterval } = fillNumbers(numbers, options, {
    prefix: 'sessionStore: ',
    whole: true,
  })
  const { onConflict = 'merge' } = options
  if (!conflictWords.includes(onConflict)) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `sessionStore: onConflict must be one of ${conflictWords.join(', ')}, ` +
        `got ${shown(onConflict)}`,
    )
  }
  const sessions = new Sessions(table as StateTable<Fields>, {
    ttl,
    touchInterval,
    onConflict,
    log,
  })
  return storeOn(emitterClass(base), sessions)
}

interface SessionsOptions {
  readonly ttl: number
  readonly touchInterval: number
  readonly onConflict: 'merge' | 'refuse' | 'overwrite'
  readonly log: Log
}

/** What the store does, with promises. */
class Sessions {
  readonly #table: StateTable<Fields>
  readonly #options: SessionsOptions
  /** By the object that was handed out, and then by the session that was made of it. */
  readonly #known = new WeakMap<object, Known>()
  readonly #saving = new WeakMap<object, Promise<void>>()

  constructor(table: StateTable<Fields>, options: SessionsOptions) {
    this.#table = table
    this.#options = options
  }

  async get(sid: string): Promise<Fields | undefined> {
    let entry: StateEntry<Fields> | undefined
    try {
      entry = await this.#table.get(sid)
    } catch (error) {
      const isUnreadable =
        error instanceof HandfastError && error.code === 'ERR_HANDFAST_PROTOCOL'
      if (!isUnreadable) throw error
      this.#options.log.warn({ reason: error.message }, 'a session could not be read')
    }
    if (entry === undefined) return undefined
    const { value, version, expiresAt } = entry
    const { cookie } = value
    // The end that was put off is not in what was stored.
    if (isFields(cookie) && cookie['expires'] && expiresAt !== undefined) {
      cookie['expires'] = new Date(expiresAt).toISOString()
    }
    const text = JSON.stringify(value)
    this.#known.set(value, { sid, version, expiresAt, text })
    return value
  }

  /** The session that was made of what `get` had answered. */
  made(from: object, session: object): void {
    const known = this.#known.get(from)
    if (known !== undefined) this.#known.set(session, known)
  }

  /** Saves of one session one after the other: it has no conflicts with itself. */
  async set(sid: string, session: object): Promise<void> {
    const before = this.#saving.get(session)
    const saved = before?.then(() => this.#save(sid, session)) ?? this.#save(sid, session)
    this.#saving.set(
      session,
      saved.catch(() => {}),
    )
    await saved
  }

  async #save(sid: string, session: object): Promise<void> {
    const ttl = this.#ttlOf(session)
    if (ttl <= 0) return await this.destroy(sid)
    const known = this.#known.get(session)
    if (this.#options.onConflict === 'overwrite') {
      await this.#table.set(sid, session as Fields, { ttl })
      return
    }
    const text = JSON.stringify(session)
    if (known?.sid !== sid) {
      const { version } = await this.#table.set(sid, session as Fields, { ttl })
      this.#known.set(session, { sid, version, expiresAt: Date.now() + ttl, text })
      return
    }
    try {
      const terms = { ttl, ifVersion: known.version }
      const { version } = await this.#table.set(sid, session as Fields, terms)
      this.#known.set(session, { sid, version, expiresAt: Date.now() + ttl, text })
    } catch (error) {
      if (!isConflict(error)) throw error
      const [base, mine] = [JSON.parse(known.text) as Fields, JSON.parse(text) as Fields]
      if (this.#options.onConflict === 'refuse' && isChanged(base, mine)) throw error
      await this.#merge(session, sid, { base, mine, ttl })
    }
  }

  async touch(sid: string, session: object): Promise<void> {
    const ttl = this.#ttlOf(session)
    if (ttl <= 0) return await this.destroy(sid)
    const known = this.#known.get(session)
    if (known?.sid === sid && known.expiresAt !== undefined) {
      const moved = Math.abs(Date.now() + ttl - known.expiresAt)
      if (moved < Math.min(this.#options.touchInterval, ttl / 100)) return
    }
    await this.#table.touch(sid, ttl)
  }

  async destroy(sid: string): Promise<void> {
    await this.#table.delete(sid)
  }

  async all(): Promise<Fields[]> {
    const all: Fields[] = []
    for await (const { key, value } of this.#table.entries())
      all.push({ ...value, id: key })
    return all
  }

  async length(): Promise<number> {
    let length = 0
    for await (const _ of this.#table.entries()) length += 1
    return length
  }

  async clear(): Promise<void> {
    await this.#table.clear()
  }

  async #merge(
    session: object,
    sid: string,
    { base, mine, ttl }: { base: Fields; mine: Fields; ttl: number },
  ): Promise<void> {
    const entry = await this.#table.update(
      sid,
      theirs => {
        if (theirs === undefined) {
          // Whoever logged out in another tab is not to be logged in again by this one; but who
          // changed nothing loses nothing.
          if (!isChanged(base, mine)) return undefined
          throw conflict('the session was ended meanwhile')
        }
        const { merged, clash } = mergeFields(base, mine, theirs)
        if (clash === undefined) return merged
        throw conflict(`another request changed ${shown(clash)} of the session, too`)
      },
      { ttl },
    )
    if (entry === undefined) return
    const { value, version, expiresAt } = entry
    this.#known.set(session, { sid, version, expiresAt, text: JSON.stringify(value) })
    for (const name of new Set([...Object.keys(mine), ...Object.keys(value)])) {
      if (name === 'cookie' || name in Object.getPrototypeOf(session)) continue
      // What the application has in hands of the session stays in it.
      if (isEqual(mine[name], value[name])) continue
      if (Object.hasOwn(value, name)) Reflect.set(session, name, value[name])
      else Reflect.deleteProperty(session, name)
    }
  }

  /** Milliseconds that are left; none or less for a session that has ended. */
  #ttlOf(session: object): number {
    const { cookie } = session as { cookie?: { expires?: unknown } }
    const expires = cookie?.expires
    if (!(expires instanceof Date) && typeof expires !== 'string')
      return this.#options.ttl
    const left = new Date(expires).getTime() - Date.now()
    return Number.isNaN(left) ? this.#options.ttl : Math.min(longestTtl, Math.ceil(left))
  }
}

function storeOn(Base: EmitterClass, sessions: Sessions): SessionStore {
  class Store extends Base {
    generate?: (request: object) => void

    get(sid: string, callback?: Answer<Fields>): Promise<Fields | undefined> | undefined {
      return answer(sessions.get(sid), callback)
    }

    set(sid: string, session: object, callback?: Answer): Promise<void> | undefined {
      return answer(sessions.set(sid, session), callback)
    }

    touch(sid: string, session: object, callback?: Answer): Promise<void> | undefined {
      return answer(sessions.touch(sid, session), callback)
    }

    destroy(sid: string, callback?: Answer): Promise<void> | undefined {
      return answer(sessions.destroy(sid), callback)
    }

    all(callback?: Answer<Fields[]>): Promise<Fields[]> | undefined {
      return answer(sessions.all(), callback)
    }

    length(callback?: Answer<number>): Promise<number> | undefined {
      return answer(sessions.length(), callback)
    }

    clear(callback?: Answer): Promise<void> | undefined {
      return answer(sessions.clear(), callback)
    }

    regenerate(request: { sessionID?: string }, callback: Answer): void {
      void this.destroy(request.sessionID ?? '', error => {
        this.generate?.(request)
        callback(error)
      })
    }

    load(sid: string, callback: Answer<object>): void {
      void this.get(sid, (error, session) => {
        if (error || session === undefined) return callback(error ?? null)
        callback(
          null,
          this.createSession({ sessionID: sid, sessionStore: this }, session),
        )
      })
    }

    override createSession(request: object, session: object): object {
      if (super.createSession === undefined) {
        throw new HandfastError(
          'ERR_HANDFAST_USAGE',
          'express-session makes its sessions itself: state.sessionStore(session)',
        )
      }
      const made = super.createSession(request, session)
      sessions.made(session, made)
      return made
    }
  }
  return new Store() as unknown as SessionStore
}

/** With a callback it never rejects, and what the callback throws is not ours to catch. */
function answer<T>(
  promise: Promise<T>,
  callback: Answer<NonNullable<T>> | undefined,
): Promise<T> | undefined {
  if (callback === undefined) return promise
  if (typeof callback !== 'function') {
    promise.catch(() => {})
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `a callback is a function, got ${shown(callback)}`,
    )
  }
  promise.then(
    value => process.nextTick(callback, null, value ?? undefined),
    (error: unknown) => process.nextTick(callback, error),
  )
  return undefined
}

/** `session` of express-session, its `Store`, or nothing. */
function emitterClass(base: unknown): EmitterClass {
  if (base === undefined) return EventEmitter as EmitterClass
  const inside: unknown = (base as { Store?: unknown } | null)?.Store ?? base
  if (
    aFunction.accepts(inside) &&
    (inside as EmitterClass).prototype instanceof EventEmitter
  ) {
    return inside as EmitterClass
  }
  throw new HandfastError(
    'ERR_HANDFAST_USAGE',
    `sessionStore takes what express-session exports, or nothing, got ${shown(base)}`,
  )
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isEqual(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function isConflict(error: unknown): boolean {
  return error instanceof HandfastError && error.code === 'ERR_HANDFAST_CONFLICT'
}

function conflict(why: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFLICT', why)
}
