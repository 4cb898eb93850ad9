import { HandfastError } from '../errors.ts'
import { usualShare } from '../limit/shares.ts'
import type { LoginPageFields } from './form/login-page.ts'
import type { AttemptLimits } from './login/attempts.ts'
import type { BearerOptions } from './method/bearer.ts'
import type { CertificateOptions } from './method/certificate.ts'
import type { ForwardAuthOptions } from './method/forward-auth.ts'
import type { VerifyPassword } from './method/password.ts'
import type { AuthRequest } from './request/request.ts'

/** How users log in, and what is kept of it. At least one method must be given. */
export interface AuthOptions {
  /**
   * Name of the protection space (RFC 9110, section 11.5), shown to users. Default
   * `restricted`. Auths of one realm share their log-ins, those of different realms do not.
   */
  readonly realm?: string | undefined
  /** Whether a request of nobody is refused. Default true. */
  readonly required?: boolean | undefined
  /** Milliseconds that a proof is remembered at most. Default 8 h; ends with the TLS lineage. */
  readonly ttl?: number | undefined
  /** Passwords in each request (RFC 7617): who checks them, a function or a file. */
  readonly basic?: VerifyPassword | PasswordSource | undefined
  /** JSON web tokens that an issuer has signed. */
  readonly bearer?: BearerOptions | undefined
  /** Client certificates that the server asked for and verified. */
  readonly certificate?: true | CertificateOptions | undefined
  /** Another server that is asked. */
  readonly forward?: ForwardAuthOptions | undefined
  /** A page to log in, and a cookie. */
  readonly form?: FormOptions | undefined
  /**
   * Where a POST from our own pages logs out: of this connection and all that resumed from the
   * same handshake. Default: `/logout` with `form`, else nowhere.
   */
  readonly logoutPath?: string | undefined
  /** Limits on failed log-ins; farm-wide. */
  readonly attempts?: AttemptLimits | undefined
  /**
   * Origins (`https://app.example`) whose pages may use a log-in that the browser sends along
   * by itself. Default none but our own.
   */
  readonly trustedOrigins?: readonly string[] | undefined
  /**
   * Log-ins that are checked at a time, questions of forward-auth included. One more is
   * answered 503. Default 320. Passwords of an htpasswd file are checked one at a time, in
   * turn by the network of the client and by its connection.
   */
  readonly maxChecks?: number | undefined
  /**
   * Percent of `maxChecks` that the clients of one network (IPv4 address, IPv6 /64) may have
   * when nobody else has any; less when others do. 100: no limit. Default 80.
   */
  readonly clientShare?: number | undefined
  /** Where the client is, for the limits and for `forward`. Default: the socket's address. */
  readonly address?: ((request: AuthRequest) => string | undefined) | undefined
  /**
   * What tells the user of a request without anybody being asked again. `credentials`, the
   * default: the same credentials as before, the cookie of a form, or a client certificate.
   * `tls-session`: the TLS session too, all by itself, so that a client need not send its
   * credentials again. Only where every client is known to be an end user's own: behind a
   * gateway, a CDN, an nginx or an HTTP client that serves several users over its connections,
   * whoever comes next is let in as the user who came before.
   */
  readonly rememberBy?: 'credentials' | 'tls-session' | undefined
  /**
   * With `rememberBy: 'tls-session'`: whether a request came over a connection of several users
   * after all. Its session then tells nobody's name any more. Default: when the request has a
   * Via, Forwarded or X-Forwarded-For header, which few gateways send unasked.
   */
  readonly shared?: ((request: AuthRequest) => boolean) | undefined
  /** Longest wait for other members when a log-in is not here, in milliseconds. Default 50. */
  readonly lookupBudget?: number | undefined
  /** Longest wait for another member to have a new log-in. Default 50. */
  readonly writeBudget?: number | undefined
}

/** One of the two. */
export type PasswordSource =
  | {
      /** Says whether a password is right, and who it is; called once for all members. */
      readonly verify: VerifyPassword
      readonly htpasswd?: undefined
    }
  | {
      /** Path of a file with bcrypt hashes, read again when it changes. */
      readonly htpasswd: string
      readonly verify?: undefined
    }

export type FormOptions = PasswordSource & {
  /** Where the form is. Default `/login`. */
  readonly path?: string | undefined
  /** Where a POST logs out. Default `/logout`. */
  readonly logoutPath?: string | undefined
  /** HTML of the form. Default: a plain one. */
  readonly page?: ((fields: LoginPageFields) => string) | undefined
  /** Must begin with `__Host-`. Default `__Host-handfast`. */
  readonly cookie?: string | undefined
}

export const defaultRealm = 'restricted'

/** The plain options with their defaults. ERR_HANDFAST_CONFIG names a bad one. */
export interface AuthSettings {
  readonly realm: string
  readonly required: boolean
  readonly ttl: number
  readonly lookupBudget: number
  readonly writeBudget: number
  readonly trustedOrigins: ReadonlySet<string>
  readonly maxChecks: number
  readonly clientShare: number
  readonly rememberBy: 'credentials' | 'tls-session'
}

const methods = ['basic', 'bearer', 'certificate', 'forward', 'form'] as const
const week = 7 * 24 * 3_600_000

export function authSettings(options: AuthOptions): AuthSettings {
  if (methods.every(name => options[name] === undefined)) {
    throw configError(`at least one of ${methods.join(', ')} must be given`)
  }
  const realm = options.realm ?? defaultRealm
  // It stands between quotes in a header.
  if (!/^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}$/.test(realm)) {
    throw configError('realm must be 1 to 64 visible ASCII characters without " and \\')
  }
  const limits = options.attempts ?? {}
  within('attempts.perUser', limits.perUser, 1, 60_000)
  within('attempts.perAddress', limits.perAddress, 1, 60_000)
  within('attempts.window', limits.window, 1_000, week)
  const { rememberBy = 'credentials' } = options
  if (rememberBy !== 'credentials' && rememberBy !== 'tls-session') {
    throw configError('rememberBy must be credentials or tls-session')
  }
  return {
    realm,
    rememberBy,
    required: options.required ?? true,
    ttl: within('ttl', options.ttl, 1_000, 52 * week) ?? 8 * 3_600_000,
    lookupBudget: within('lookupBudget', options.lookupBudget, 0, 10_000) ?? 50,
    writeBudget: within('writeBudget', options.writeBudget, 0, 10_000) ?? 50,
    maxChecks: within('maxChecks', options.maxChecks, 1, 100_000) ?? 320,
    clientShare: within('clientShare', options.clientShare, 1, 100) ?? 100 * usualShare,
    trustedOrigins: new Set((options.trustedOrigins ?? []).map(originOf)),
  }
}

export function formSettings(form: FormOptions): { path: string; cookie: string } {
  const { path = '/login', cookie = '__Host-handfast' } = form
  checkPath('form.path', path)
  if (!/^__Host-[\w-]{1,64}$/.test(cookie) || cookie === '__Host-handfast-form') {
    throw configError('form.cookie must be a name that begins with __Host-')
  }
  return { path, cookie }
}

/** Undefined where nobody can log out by a request. */
export function logoutPathOf({ form, logoutPath }: AuthOptions): string | undefined {
  if (form === undefined) {
    if (logoutPath !== undefined) checkPath('logoutPath', logoutPath)
    return logoutPath
  }
  if (logoutPath !== undefined && form.logoutPath !== undefined) {
    throw configError('logoutPath and form.logoutPath are two names for one path')
  }
  const path = form.logoutPath ?? logoutPath ?? '/logout'
  checkPath('form.logoutPath', path)
  if (path === formSettings(form).path) {
    throw configError('form.path and form.logoutPath are the same')
  }
  return path
}

function checkPath(name: string, value: string): void {
  if (!/^\/(?![/\\])[\w.~/-]*$/.test(value)) {
    throw configError(`${name} must be a path like /login`)
  }
}

export function configError(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `auth: ${what}`)
}

function within(
  name: string,
  value: number | undefined,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined || (value >= least && value <= most)) return value
  throw configError(`${name} must be a number from ${least} to ${most}`)
}

function originOf(text: string): string {
  if (!URL.canParse(text) || new URL(text).origin !== text.toLowerCase()) {
    throw configError('trustedOrigins must be origins like https://app.example')
  }
  return new URL(text).origin
}
