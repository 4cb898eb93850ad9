import { createHash } from 'node:crypto'
import { urlFormOf } from '../../dispatch/affinity/options.ts'
import type { UrlForm } from '../../dispatch/affinity/url-form.ts'
import type { Dispatcher } from '../../dispatch/dispatcher.ts'
import { HandfastError } from '../../errors.ts'
import { shown } from '../../shown.ts'
import type { CheckedRequest } from '../message/request-check.ts'
import type { Authorizer, Handling, Limits, Route, Site } from '../options.ts'
import { Match } from './match.ts'
import { readingsOf } from './path-readings.ts'
import { Redirect } from './redirect.ts'
import { type Rewrite, rewriteOf } from './rewrite.ts'
import type { UrgencyOf } from './urgencies.ts'

/** A route with everything made of it that requests need. */
export interface ServedRoute {
  readonly authorizer: Authorizer | undefined
  readonly dispatcher: Dispatcher
  readonly limits: Limits
  /** How a request stands beside others that wait. Undefined where all stand the same. */
  readonly urgencyOf: UrgencyOf | undefined
  readonly rewrite?: Rewrite | undefined
  readonly redirect?: Redirect | undefined
  /** How URLs name its backends; undefined where they do not. */
  readonly urlForm?: UrlForm | undefined
}

/** A request whose URL names a backend, without that. */
export interface NamedRequest {
  readonly request: CheckedRequest
  readonly name: string
  readonly form: UrlForm
}

/** Makes a route of what is said of it. */
export type ServeRoute = (handling: Handling, scope: string) => ServedRoute

/** Why a request has no route: none takes it, or two might, by how its path is read. */
export type NoRoute = 'none' | 'ambiguous'

/** The routes of a site. Never changed: a reload makes others. */
export class Routes {
  readonly #routes: readonly (readonly [Match, ServedRoute])[]
  /** Has what none of them takes. */
  readonly #rest: ServedRoute | undefined
  readonly #byPath: boolean
  /** Some path is written with upper case. */
  readonly #mixedCase: boolean
  /**
   * Names of fields by which backends may know the user, of any authorizer of the site: whoever
   * is let by on one route must not say on it who he is on another.
   */
  readonly ownFields: ReadonlySet<string>
  /** By key. */
  readonly #forms = new Map<string, UrlForm>()

  constructor(site: Site, label: string, serve: ServeRoute) {
    const { routes = [], ...own } = site
    checkCases(routes, label)
    this.ownFields = ownFieldsOf([own, ...routes])
    const made = (handling: Handling, where: string, scope: string): ServedRoute => ({
      ...serve(handling, scope),
      rewrite: rewriteOf(handling, where, this.ownFields),
      urlForm: this.#formOf(handling, site.names, where),
    })
    this.#routes = routes.map((route, index) => {
      const where = `${label}: routes[${index}]`
      const match = new Match(route.match, where)
      const served = made(inherited(own, route), where, scopeOf(own, route))
      const { path = '', exact = path } = route.match
      const redirect = route.redirect && new Redirect(route.redirect, exact)
      return [match, { ...served, redirect }]
    })
    this.#byPath = this.#routes.some(([{ byPath }]) => byPath)
    this.#mixedCase = routes.some(({ match: { path = '', exact = '' } }) =>
      /[A-Z]/.test(path + exact),
    )
    const serves = routes.length === 0 || (own.backends ?? []).length > 0
    this.#rest = serves ? made(own, label, scopeOf(own)) : undefined
  }

  /** Undefined where the URL names no backend. Routes are for what is left of it. */
  named(request: CheckedRequest): NamedRequest | undefined {
    if (this.#forms.size === 0) return undefined
    for (const form of this.#forms.values()) {
      const found = form.read(request)
      if (found === undefined) continue
      return { request: { ...request, path: found.path }, name: found.name, form }
    }
    return undefined
  }

  /** The first that takes the request, whichever way its path may be read. */
  find(request: CheckedRequest): ServedRoute | NoRoute {
    const found = this.#find(request)
    if (typeof found === 'string') return found
    return found.rewrite?.leavesPrefix(request.path) ? 'ambiguous' : found
  }

  #formOf(
    { affinity }: Handling,
    names: readonly string[],
    where: string,
  ): UrlForm | undefined {
    const form = urlFormOf(affinity)
    if (form === undefined) return undefined
    const hosts = affinity?.hosts?.toLowerCase()
    const has = names.length === 0 || names.some(name => name.toLowerCase() === hosts)
    if (hosts !== undefined && !has) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `${where}: affinity.hosts must be among the names of the site, got ${shown(hosts)}`,
      )
    }
    const known = this.#forms.get(form.key) ?? form
    this.#forms.set(known.key, known)
    return known
  }

  #find(request: CheckedRequest): ServedRoute | NoRoute {
    if (this.#routes.length === 0) return this.#rest ?? 'none'
    if (!this.#byPath) return this.#first(request, '', false) ?? 'none'
    const readings = readingsOf(request.path)
    if (readings === undefined) return 'ambiguous'
    const found = this.#first(request, readings[0] as string, false)
    for (const reading of readings) {
      if (this.#first(request, reading, false) !== found) return 'ambiguous'
      // To some servers `/Admin` is `/admin`.
      const lower = reading.toLowerCase()
      if (lower === reading && !this.#mixedCase) continue
      if (this.#first(request, lower, true) !== found) return 'ambiguous'
    }
    return found ?? 'none'
  }

  #first(
    request: CheckedRequest,
    path: string,
    folded: boolean,
  ): ServedRoute | undefined {
    for (const [match, route] of this.#routes) {
      if (match.takes(request, path, folded)) return route
    }
    return this.#rest
  }
}

/**
 * Clients have one place for all that goes to the same backends. Of a route that has its own it
 * is told by what it takes, so that it stays the same when backends come and go.
 */
function scopeOf(
  { names }: { readonly names?: readonly string[] },
  route?: Route,
): string {
  const { match, backends } = route ?? {}
  const own = backends === undefined ? '' : digest(JSON.stringify(match))
  return `${names?.[0] ?? ''}\0${own}`
}

function ownFieldsOf(all: readonly Handling[]): ReadonlySet<string> {
  const authorizers = all.map(({ authorizer }) => authorizer)
  return new Set(
    authorizers.flatMap(one =>
      one === undefined || one === 'none' ? [] : [...(one.ownFields ?? [])],
    ),
  )
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 8)
}

/** A route says what is different; a key that it lacks is the site's. */
function inherited(site: Handling, { match: _, ...route }: Route): Handling {
  const own = Object.entries(route).filter(([, value]) => value !== undefined)
  const handling: Handling = { ...site, ...Object.fromEntries(own) }
  const plain = handling.class === 'plain' && route.affinity === undefined
  return plain ? { ...handling, affinity: undefined } : handling
}

/** What differs in case alone can't be told apart by all servers, so it isn't by us. */
function checkCases(routes: readonly Route[], label: string): void {
  const seen = new Map<string, string>()
  for (const { match } of routes) {
    for (const path of [match.path, match.exact]) {
      if (path === undefined) continue
      const before = seen.get(path.toLowerCase())
      if (before !== undefined && before !== path) {
        throw new HandfastError(
          'ERR_HANDFAST_CONFIG',
          `${label}: routes ${before} and ${path} differ in upper and lower case alone`,
        )
      }
      seen.set(path.toLowerCase(), path)
    }
  }
}
