import { createHmac, timingSafeEqual } from 'node:crypto'
import { BoundedMap } from '../../bounded-map.ts'

/** Verified cookies that are remembered: most come again with the next request. */
const maxKnown = 10_000

/** What a cookie says: a session of nobody in particular, and the backend that holds it. */
export interface Place {
  /** Random; all proxies choose the same backup by it. */
  readonly session: string
  /** Name of the backend. */
  readonly backend: string
  /** Wall time in milliseconds. */
  readonly madeAt: number
}

/**
 * The cookie that keeps a client at its backend. Text:
 *
 *     backend (9 bytes) "." session (9 bytes) "." made at (s, base 36) "." tag (16 bytes)
 *
 * bytes in base64url. The backend's name tells nothing of its address. tag: HMAC-SHA256, cut,
 * over the scope and all before it: a cookie can't be made up, nor be used for another site. It
 * may be given to somebody else, who is then held by the same backend, and nothing more.
 */
export class PlaceCookie {
  readonly name: string
  readonly #key: Buffer
  readonly #scope: string
  readonly #ttl: number
  readonly #known = new BoundedMap<string, Place>(maxKnown)

  constructor(name: string, key: Buffer, scope: string, ttl: number) {
    this.name = name
    this.#key = key
    this.#scope = scope
    this.#ttl = ttl
  }

  /** Undefined for what was not made here, or too long ago. */
  read(text: string, now: number): Place | undefined {
    const place = this.#known.get(text) ?? this.#verify(text)
    return place !== undefined && now - place.madeAt < this.#ttl ? place : undefined
  }

  /** Value of Set-Cookie. */
  issue({ session, backend, madeAt }: Place): string {
    const text = `${backend}.${session}.${Math.floor(madeAt / 1_000).toString(36)}`
    const value = `${text}.${this.#tag(text).toString('base64url')}`
    return `${this.name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax`
  }

  #verify(text: string): Place | undefined {
    const match = /^([\w-]{12})\.([\w-]{12})\.([0-9a-z]{1,8})\.([\w-]{22})$/.exec(text)
    if (match === null) return undefined
    const [, backend, session, made, tag] = match as unknown as string[] & { length: 5 }
    const expected = this.#tag(`${backend}.${session}.${made}`)
    const shown = Buffer.from(tag as string, 'base64url')
    if (shown.length !== expected.length || !timingSafeEqual(shown, expected)) {
      return undefined
    }
    const place = {
      backend: backend as string,
      session: session as string,
      madeAt: Number.parseInt(made as string, 36) * 1_000,
    }
    this.#known.set(text, place)
    return place
  }

  #tag(text: string): Buffer {
    return createHmac('sha256', this.#key)
      .update(`place\0${this.#scope}\0${text}`)
      .digest()
      .subarray(0, 16)
  }
}
