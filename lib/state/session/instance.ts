import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { HandfastError } from '../../errors.ts'
import {
  aFunction,
  aText,
  checkOptions,
  type OptionRules,
} from '../../options/check-options.ts'
import { shown } from '../../shown.ts'

export interface InstanceOptions {
  /** Name of the cookie. Default `__Host-handfast-instance`. */
  readonly cookie?: string | undefined
  /** Name of the cookie with the session ID, as express-session and @fastify/session write it.
   * Default: `connect.sid` and `sessionId`. */
  readonly sessionCookie?: string | undefined
  /** The session ID of a request, in place of `sessionCookie`. */
  readonly session?: ((request: IncomingMessage) => string | undefined) | undefined
}

const rules: OptionRules<InstanceOptions> = {
  cookie: aText,
  sessionCookie: aText,
  session: aFunction,
}

export type InstanceMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => void

const usualCookie = '__Host-handfast-instance'
const usualSessionCookies = ['connect.sid', 'sessionId']
/** A token of RFC 6265, section 4.1.1. */
const cookieName = /^[\w!#$%&'*+.^`|~-]{1,128}$/

/**
 * The server instance ID verification of seed 002, Fig 5: an ID that is another one after each
 * start goes to the client in a cookie. A client that brings another one, or none, was served
 * elsewhere in between, or before the start: what is cached of its session is flushed.
 */
export class InstanceVerification {
  readonly #value: string
  readonly #cookie: string
  readonly #setCookie: string
  readonly #sessions: (request: IncomingMessage) => readonly string[]
  readonly #flush: (session: string) => void

  constructor(id: string, options: InstanceOptions, flush: (session: string) => void) {
    checkOptions('instance', options, rules)
    const { cookie = usualCookie, sessionCookie, session } = options
    for (const name of [cookie, sessionCookie]) {
      if (name === undefined || cookieName.test(name)) continue
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `instance: ${shown(name)} is no name of a cookie`,
      )
    }
    // Nobody else has to read it, so the key is nobody else's.
    const mark = createHmac('sha256', randomBytes(32)).update(id).digest('base64url')
    this.#value = `${id}.${mark.slice(0, 22)}`
    this.#cookie = cookie
    this.#setCookie = `${cookie}=${this.#value}; Path=/; HttpOnly; Secure; SameSite=Lax`
    const names = sessionCookie === undefined ? usualSessionCookies : [sessionCookie]
    this.#sessions = request =>
      session === undefined ? sessionsIn(request, names) : listOf(session(request))
    this.#flush = flush
  }

  middleware(): InstanceMiddleware {
    return (request, response, next) => {
      try {
        this.#verify(request, response)
      } catch (error) {
        next(error)
        return
      }
      next()
    }
  }

  #verify(request: IncomingMessage, response: ServerResponse): void {
    const shownId = cookieIn(request, this.#cookie)
    if (shownId !== undefined && isSame(shownId, this.#value)) return
    for (const session of this.#sessions(request)) this.#flush(session)
    response.appendHeader('set-cookie', this.#setCookie)
  }
}

/**
 * The ID in a session cookie, whether or not its signature is right: `s:<id>.<signature>` or
 * `<id>.<signature>`, percent-encoded. Whoever makes one up has a session loaded, nothing else.
 */
function sessionsIn(request: IncomingMessage, names: readonly string[]): string[] {
  return names.flatMap(name => {
    const text = cookieIn(request, name)
    if (text === undefined) return []
    const plain = decoded(text)
    const signed = plain.startsWith('s:') ? plain.slice(2) : plain
    const dot = signed.lastIndexOf('.')
    return [dot < 0 ? signed : signed.slice(0, dot)]
  })
}

function listOf(session: string | undefined): string[] {
  return session === undefined ? [] : [session]
}

function cookieIn({ headers }: IncomingMessage, name: string): string | undefined {
  for (const part of headers.cookie?.split(';') ?? []) {
    const equals = part.indexOf('=')
    if (equals > 0 && part.slice(0, equals).trim() === name) {
      return part.slice(equals + 1).trim()
    }
  }
  return undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
