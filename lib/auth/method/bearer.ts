import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import {
  type Basis,
  basisLength,
  type Claims,
  type ClaimValue,
  type MakeBasis,
  maxClaimsBytes,
} from '../identity.ts'
import {
  type CredentialMethod,
  causeOf,
  refused,
  unavailable,
  type Verdict,
} from './method.ts'
import {
  faultOf,
  publicKey,
  publishedKeys,
  secretKey,
  type TokenClaims,
  type TokenKeys,
} from './token-keys.ts'

/** Bearer tokens (RFC 6750) that are JWTs (RFC 7519, RFC 8725). */
export interface BearerOptions {
  /** Where the issuer publishes its keys: https, or http on this host. */
  readonly jwks?: string | URL | undefined
  /** Or its public key or certificate, PEM. */
  readonly key?: string | Buffer | undefined
  /** Or a secret shared with it, at least 32 bytes. For HS256, HS384 and HS512 only. */
  readonly secret?: string | Buffer | undefined
  /** `iss` of the tokens that are taken. */
  readonly issuer: string | readonly string[]
  /** `aud` of the tokens that are taken. */
  readonly audience: string | readonly string[]
  /** Signature algorithms that are taken: `['RS256']`. No default, on purpose. */
  readonly algorithms: readonly string[]
  /** Seconds by which the issuer's clock may be off. Default 5. */
  readonly clockTolerance?: number | undefined
  /** Claim that names the user. Default `sub`. */
  readonly subject?: string | undefined
  /** Claims that are kept in the identity. Default `iss`, `scope`, `email`, `name`, `groups`, `roles`. */
  readonly claims?: readonly string[] | undefined
}

export interface BearerContext {
  readonly realm: string
  readonly clock: Clock
  /** See AuthContext: the issuer keeps the time of no farm. */
  readonly wall?: () => number
  readonly log: Log
  readonly makeBasis: MakeBasis
}

const maxToken = 8_192
const defaultClaims = ['iss', 'scope', 'email', 'name', 'groups', 'roles']
const secretAlgorithms = ['HS256', 'HS384', 'HS512']
const publicAlgorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]

export function bearerMethod(
  options: BearerOptions,
  context: BearerContext,
): CredentialMethod & { readonly keys: TokenKeys } {
  const keys = keysOf(options, context)
  const rules = rulesOf(options)
  const { realm, clock, wall = () => clock.now(), log, makeBasis } = context
  // Half of the basis is the rules, half the key: the rules are known before any key is.
  const half = basisLength / 2
  const rulesBasis = makeBasis('rules', JSON.stringify([rules, options.claims]))
  let bases: ReadonlySet<string> = new Set()
  let named: ReadonlySet<string> | undefined
  const basisOf = (name: string) =>
    Buffer.concat([
      rulesBasis.subarray(0, half),
      makeBasis('key', name).subarray(0, half),
    ])

  async function verify(token: string): Promise<Verdict> {
    if (token.length > maxToken) return refused
    try {
      const now = { currentDate: new Date(wall()) }
      const { payload, keyName } = await keys.verify(token, { ...rules, ...now })
      // From here on its end is counted by the farm's clock. Its issue is not: moved to a later
      // time it could pass for one after a revocation.
      const ahead = clock.now() - wall()
      const tolerance = rules.clockTolerance * 1_000 + ahead
      return proofOf(payload, options, tolerance, basisOf(keyName))
    } catch (error) {
      return failed(error)
    }
  }

  /** Whether the token would be taken today, as far as that is known without its text. */
  function stands(_subject: string, basis: Basis): boolean {
    const names = keys.names()
    if (names === undefined) {
      return basis.subarray(0, half).equals(rulesBasis.subarray(0, half))
    }
    if (names !== named) {
      named = names
      bases = new Set([...names].map(name => basisOf(name).toString('latin1')))
    }
    return bases.has(basis.toString('latin1'))
  }

  function failed(error: unknown): Verdict {
    const fault = faultOf(error)
    if (fault === 'expired') {
      return { kind: 'refused', guess: false, reason: 'the token has expired' }
    }
    if (fault === 'token') return refused
    log.error({ cause: causeOf(error) }, 'the keys for bearer tokens are not to be had')
    return unavailable('jwks')
  }

  return {
    name: 'bearer',
    scheme: 'bearer',
    userOf: () => undefined,
    verify,
    // RFC 6750, section 3.1.
    challenge: reason =>
      reason === undefined
        ? `Bearer realm="${realm}"`
        : `Bearer realm="${realm}", error="invalid_token", error_description="${reason}"`,
    stands,
    keys,
  }
}

function proofOf(
  payload: TokenClaims,
  { subject: name = 'sub', claims: kept = defaultClaims }: BearerOptions,
  tolerance: number,
  basis: Basis,
): Verdict {
  const subject = payload[name]
  if (typeof subject !== 'string' || payload.exp === undefined) return refused
  const claims: Claims = Object.fromEntries(
    kept
      .filter(claim => payload[claim] !== undefined)
      .map(claim => [claim, payload[claim] as ClaimValue]),
  )
  if (Buffer.byteLength(JSON.stringify(claims)) > maxClaimsBytes) {
    return { kind: 'refused', guess: false, reason: 'the claims are too large' }
  }
  const at = payload.iat === undefined ? undefined : payload.iat * 1_000
  const expiresAt = payload.exp * 1_000 + tolerance
  return { kind: 'proved', proof: { subject, claims, at, expiresAt, basis } }
}

function rulesOf(options: BearerOptions) {
  const text = (name: 'issuer' | 'audience') => {
    const given = options[name]
    const list = typeof given === 'string' ? [given] : [...(given ?? [])]
    const sound = list.length > 0 && list.every(one => typeof one === 'string' && one)
    if (!sound) throw bad(`${name} must be given`)
    return list
  }
  const subject = options.subject ?? 'sub'
  const clockTolerance = options.clockTolerance ?? 5
  if (!(clockTolerance >= 0 && clockTolerance <= 300)) {
    throw bad('clockTolerance must be 0 to 300 seconds')
  }
  return {
    issuer: text('issuer'),
    audience: text('audience'),
    algorithms: algorithmsOf(options),
    clockTolerance,
    requiredClaims: [subject, 'exp'],
  }
}

/**
 * A secret goes with HS algorithms only, a public key never: else a public key that everybody
 * knows could serve as the secret of a forged token (RFC 8725, section 2.1).
 */
function algorithmsOf({ algorithms, secret }: BearerOptions): string[] {
  const allowed = secret === undefined ? publicAlgorithms : secretAlgorithms
  if (!Array.isArray(algorithms) || algorithms.length === 0) {
    throw bad('algorithms must be given')
  }
  for (const algorithm of algorithms) {
    if (!allowed.includes(algorithm)) {
      throw bad(`algorithms: ${String(algorithm)} is not one of ${allowed.join(', ')}`)
    }
  }
  return [...algorithms]
}

function keysOf({ jwks, key, secret }: BearerOptions, context: BearerContext): TokenKeys {
  const given = [jwks, key, secret].filter(one => one !== undefined)
  if (given.length !== 1) throw bad('exactly one of jwks, key and secret must be given')
  if (secret !== undefined) {
    const bytes = Buffer.from(secret)
    if (bytes.length < 32) throw bad('secret must have at least 32 bytes')
    return secretKey(bytes)
  }
  if (key !== undefined) {
    try {
      return publicKey(key)
    } catch {
      // The reason is left out: it might quote the key.
      throw bad('key is no public key or certificate in PEM')
    }
  }
  return publishedKeys(jwksUrl(String(jwks)), context)
}

function jwksUrl(text: string): URL {
  if (!URL.canParse(text)) throw bad('jwks is no URL')
  const url = new URL(text)
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) {
    throw bad('jwks must be an https URL: whoever can change the keys can be anybody')
  }
  return url
}

function bad(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `auth.bearer: ${what}`)
}
