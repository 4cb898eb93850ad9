import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import {
  createRemoteJWKSet,
  errors,
  exportJWK,
  type JSONWebKeySet,
  type JWK,
  jwksCache,
  jwtVerify,
} from 'jose'
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { causeOf } from './method.ts'

/** Checks tokens with the issuer's keys, and knows which of these are still the issuer's. */
export interface TokenKeys {
  /** Rejects when the token is not to be believed; {@link faultOf} tells why. */
  verify(token: string, rules: TokenRules): Promise<VerifiedToken>
  /** The names of the keys that are taken now; undefined before they are known here. */
  names(): ReadonlySet<string> | undefined
  /** Calls back when they have become others; undefined where they can't. */
  readonly onChange?: (listener: () => void) => void
}

// Types of our own: they are part of the declarations of the package, which are those of CommonJS
// modules, too, and those of jose are not.

/** What a token must say to be believed; as `jwtVerify` takes it. */
export interface TokenRules {
  readonly issuer: string[]
  readonly audience: string[]
  readonly algorithms: string[]
  readonly clockTolerance: number
  readonly requiredClaims?: string[]
  readonly currentDate: Date
}

/** Of RFC 7519, section 4.1, with those that are looked at here. */
export interface TokenClaims {
  readonly [claim: string]: unknown
  readonly exp?: number | undefined
  readonly iat?: number | undefined
}

export interface VerifiedToken {
  readonly payload: TokenClaims
  /** Tells the key, under the key id that the token gave if any, from all others. */
  readonly keyName: string
}

/** `keys`: an issuer that can't be reached, or answers nonsense, says nothing of the token. */
export function faultOf(error: unknown): 'expired' | 'token' | 'keys' {
  if (error instanceof errors.JWTExpired) return 'expired'
  const aboutToken =
    error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) &&
    error.code !== 'ERR_JOSE_GENERIC'
  return aboutToken ? 'token' : 'keys'
}

export function secretKey(bytes: Buffer): TokenKeys {
  const key = createSecretKey(bytes)
  return fixedKey(key, key.export().toString('base64'))
}

export function publicKey(pem: string | Buffer): TokenKeys {
  const key = createPublicKey(pem)
  return fixedKey(key, key.export({ type: 'spki', format: 'der' }).toString('base64'))
}

function fixedKey(key: KeyObject, keyName: string): TokenKeys {
  const names = new Set([keyName])
  return {
    async verify(token, rules) {
      const { payload } = await jwtVerify(token, key, rules)
      return { payload, keyName }
    },
    names: () => names,
  }
}

const keyTimeout = 5_000
/** How long a set of keys is taken for current. */
const maxAge = 600_000
const retryInterval = 30_000

/**
 * The keys that the issuer publishes, read when a token needs them. A token that is remembered
 * needs none, and so this also reads them when they have grown old: a key that the issuer has
 * withdrawn is good for ten minutes at most.
 */
export function publishedKeys(
  url: URL,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): TokenKeys {
  // What jose has read, as it read it; `remote.jwks()` makes a copy each time.
  const read: { jwks?: JSONWebKeySet } = {}
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: keyTimeout,
    cacheMaxAge: maxAge,
    [jwksCache]: read as Record<string, never>,
  })
  // A member that has not needed the keys yet is not in a hurry: the others have them.
  let since = clock.monotonic()
  let triedAt = Number.NEGATIVE_INFINITY
  let known: JSONWebKeySet | undefined
  let names: ReadonlySet<string> | undefined
  let onChange = () => {}

  function refresh(): void {
    const now = clock.monotonic()
    if (now - since < maxAge || remote.reloading || now - triedAt < retryInterval) return
    triedAt = now
    remote.reload().catch(error => {
      log.error({ cause: causeOf(error) }, 'the keys for bearer tokens are not to be had')
    })
  }

  return {
    onChange(listener) {
      onChange = listener
    },
    async verify(token, rules) {
      const { payload, protectedHeader, key } = await jwtVerify(token, remote, rules)
      return { payload, keyName: nameOf(await exportJWK(key), protectedHeader.kid) }
    },
    names() {
      refresh()
      const { jwks } = read
      if (jwks !== known) {
        known = jwks
        since = clock.monotonic()
        // A token without a key id fits a key of any.
        const namesOf = (key: JWK) => [nameOf(key, key.kid), nameOf(key, undefined)]
        names = jwks && new Set(jwks.keys.flatMap(namesOf))
        onChange()
      }
      return names
    },
  }
}

/** The parts that make the key (RFC 7638, section 3.2), and the id by which it is called. */
function nameOf({ kty, crv, x, y, n, e }: JWK, id: string | undefined): string {
  return JSON.stringify([kty, crv, x, y, n, e, id])
}
