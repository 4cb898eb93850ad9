import { addressList } from '../address-list.ts'
import { signingKey } from '../auth/signing-key.ts'
import { parseSecret } from '../farm/secret.ts'
import type { Farm } from '../member/farm.ts'
import { clientBehind } from '../proxy/message/forwarded.ts'
import type { Site } from '../proxy/options.ts'
import { AuthAuthorizer } from '../proxy/request/auth-authorizer.ts'
import type {
  RouteSettings,
  ServeSettings,
  SiteAuthSettings,
  SiteSettings,
} from './settings.ts'

/**
 * What judges the requests of each site. One stays the same over a reload when its settings
 * do, so that nobody's password is checked anew because a certificate was renewed.
 */
export class SiteAuths {
  readonly #farm: Farm
  readonly #secret: Buffer | undefined
  readonly #trusts: (address: string) => boolean
  readonly #clientShare: number | undefined
  #bySettings = new Map<string, AuthAuthorizer>()

  constructor(farm: Farm, { farm: { secret }, trustedProxies, limits }: ServeSettings) {
    this.#farm = farm
    this.#secret = secret === undefined ? undefined : parseSecret(secret)
    this.#clientShare = limits.clientShare
    this.#trusts = addressList(trustedProxies, 'trustedProxies')
  }

  /**
   * Runs `apply` with the sites as a proxy takes them, and lets go of what they no longer
   * need. When it throws, nothing has changed.
   */
  rebuild<T>(sites: readonly SiteSettings[], apply: (sites: Site[]) => T): T {
    const next = new Map<string, AuthAuthorizer>()
    const of = (auth: SiteAuthSettings): AuthAuthorizer => {
      const key = JSON.stringify(auth)
      const authorizer =
        next.get(key) ?? this.#bySettings.get(key) ?? this.#authorizerOf(auth)
      next.set(key, authorizer)
      return authorizer
    }
    let result: T
    try {
      const judged = <T extends { auth?: RouteSettings['auth'] }>({
        auth,
        ...rest
      }: T) =>
        auth === undefined
          ? rest
          : { ...rest, authorizer: auth === 'none' ? auth : of(auth) }
      result = apply(
        sites.map(({ routes, ...site }) => ({
          ...judged(site),
          ...(routes && { routes: routes.map(judged) }),
        })),
      )
    } catch (error) {
      retire(next, this.#bySettings)
      throw error
    }
    retire(this.#bySettings, next)
    this.#bySettings = next
    return result
  }

  #authorizerOf({ sign, ...options }: SiteAuthSettings): AuthAuthorizer {
    const { auth } = this.#farm.auth({
      ...options,
      clientShare: this.#clientShare,
      address: ({ headers, socket }) =>
        clientBehind(
          (socket as { remoteAddress?: string }).remoteAddress ?? '',
          String(headers['x-forwarded-for'] ?? ''),
          this.#trusts,
        ),
    })
    const key =
      sign === true && this.#secret !== undefined
        ? signingKey(this.#secret, this.#farm.name, options.realm)
        : undefined
    return new AuthAuthorizer(auth, key)
  }
}

/** Ends those of `some` that are not among `kept`. */
function retire(
  some: ReadonlyMap<string, AuthAuthorizer>,
  kept: ReadonlyMap<string, AuthAuthorizer>,
): void {
  for (const [key, authorizer] of some) {
    if (kept.get(key) !== authorizer) authorizer.retire()
  }
}
