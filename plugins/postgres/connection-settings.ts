import { HandfastError } from '../../lib/errors.ts'
import type { PostgresOptions, PostgresTls } from './options.ts'

/** Where the database is, and who asks; the rest comes from the environment. */
export interface ConnectionSettings {
  readonly host: string
  readonly port: number | undefined
  readonly user: string | undefined
  readonly password: string | (() => string | Promise<string>) | undefined
  readonly database: string | undefined
  readonly tls: PostgresTls | false
  readonly applicationName: string
}

type Told = Partial<Omit<ConnectionSettings, 'tls'>> & {
  readonly tls?: boolean | undefined
}

/** Throws ERR_HANDFAST_CONFIG, which never shows the URL: a password is in it. */
export function connectionSettings(options: PostgresOptions): ConnectionSettings {
  const told = options.url === undefined ? {} : readUrl(String(options.url))
  const host = told.host ?? options.host ?? process.env['PGHOST'] ?? 'localhost'
  return {
    host,
    port: told.port ?? options.port,
    user: told.user ?? options.user,
    password: told.password ?? options.password,
    database: told.database ?? options.database,
    tls: tlsFor(host, options.tls ?? told.tls),
    applicationName: told.applicationName ?? 'handfast',
  }
}

/** What crosses a network is encrypted, unless somebody says in words that it is not. */
function tlsFor(
  host: string,
  given: boolean | PostgresTls | undefined,
): PostgresTls | false {
  if (typeof given === 'object') return given
  return (given ?? !isOwnMachine(host)) ? {} : false
}

function isOwnMachine(host: string): boolean {
  return host.startsWith('/') || ['localhost', '127.0.0.1', '::1'].includes(host)
}

function readUrl(text: string): Told {
  let url: URL
  try {
    // No host is one, too: that of the socket's folder is in `host=`.
    url = new URL(text.replace(/^(postgres(?:ql)?:\/\/(?:[^/@]*@)?)(?=[/?]|$)/, '$1-'))
  } catch {
    throw fault('is none')
  }
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw fault('must begin with postgres://')
  const told: { -readonly [name in keyof Told]: Told[name] } = {}
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (host !== '-') told.host = decodeURIComponent(host)
  if (url.port !== '') told.port = Number(url.port)
  if (url.username !== '') told.user = decodeURIComponent(url.username)
  if (url.password !== '') told.password = decodeURIComponent(url.password)
  if (url.pathname.length > 1) told.database = decodeURIComponent(url.pathname.slice(1))
  for (const [name, value] of url.searchParams) {
    if (name === 'host') told.host = value
    else if (name === 'application_name') told.applicationName = value
    else if (name === 'sslmode') told.tls = readMode(value)
    else throw fault(`has a parameter that is not known here: ${name}`)
  }
  return told
}

/**
 * `require` and `verify-ca` get what `verify-full` is: a certificate that nobody looks at keeps
 * nobody out.
 */
function readMode(mode: string): boolean {
  if (mode === 'disable') return false
  if (['require', 'verify-ca', 'verify-full'].includes(mode)) return true
  throw fault(`has an sslmode that leaves a door open, or none: ${mode}`)
}

function fault(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `postgres: url ${what}`)
}
