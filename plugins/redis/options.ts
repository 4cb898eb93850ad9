import { type Address, parseAddress } from '../../lib/address.ts'
import { HandfastError } from '../../lib/errors.ts'
import type { Login, TlsOptions } from './client.ts'

const redisPort = 6379
const sentinelPort = 26_379
const mostAddresses = 64

/** All times in milliseconds. */
export interface RedisOptions extends Login {
  /**
   * `redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DATABASE]`, `rediss://` with TLS. Of
   * several hosts the one that is a master is taken; where one is part of a Redis Cluster, any
   * few of its nodes will do. `redis+sentinel://HOST[:PORT][,...]/NAME[/DATABASE]` asks these
   * Sentinels for the master called NAME; `rediss+sentinel://` with TLS to them and to it.
   * Default `redis://127.0.0.1`.
   */
  readonly url?: string | undefined
  /** ACL user, where the URL has none. Default `default`. */
  readonly username?: string | undefined
  /** Where the URL has none. */
  readonly password?: string | undefined
  /** User and password of the Sentinels. Default: none. */
  readonly sentinel?: Login | undefined
  /** TLS, with more than `rediss://` says. */
  readonly tls?: TlsOptions | undefined
  /** First part of all names of keys, for an ACL (`~handfast:*`). Default `handfast`. */
  readonly prefix?: string | undefined
  /**
   * Replicas that must have a write before it counts as acknowledged. Default: 1 once one has been
   * seen, 0 before.
   */
  readonly replicas?: number | undefined
  /** Longest wait for a connection with all that belongs to it. Default 2 000. */
  readonly connectTimeout?: number | undefined
  /** A connection that is silent for so long while an answer is due ends. Default 2 000. */
  readonly commandTimeout?: number | undefined
}

/** What the options say, checked. */
export interface RedisSetup {
  readonly kind: 'direct' | 'sentinel'
  readonly addresses: readonly Address[]
  /** Of the master that the Sentinels know. */
  readonly masterName: string
  readonly login: Login
  readonly sentinelLogin: Login
  readonly database: number
  readonly tls: TlsOptions | undefined
  readonly prefix: string
  readonly replicas: number | undefined
  readonly connectTimeout: number
  readonly commandTimeout: number
}

const known = new Set([
  ...['url', 'username', 'password', 'sentinel', 'tls', 'prefix', 'replicas'],
  ...['connectTimeout', 'commandTimeout'],
])

/** Throws ERR_HANDFAST_CONFIG; no error shows a URL or a password. */
export function redisSetup(options: RedisOptions | string): RedisSetup {
  const given = typeof options === 'string' ? { url: options } : options
  for (const name of Object.keys(given)) {
    if (!known.has(name)) throw wrong(`there is no option ${name}`)
  }
  const { url = 'redis://127.0.0.1', prefix = 'handfast', replicas, sentinel } = given
  const read = readUrl(url)
  if (!/^[\w.:-]{1,64}$/.test(prefix)) {
    throw wrong('prefix must have 1 to 64 letters, digits and . : _ -')
  }
  if (replicas !== undefined) whole('replicas', replicas, 0, 16)
  const { connectTimeout = 2_000, commandTimeout = 2_000 } = given
  return {
    ...read,
    login: loginOf(read.login, given),
    sentinelLogin: sentinel ?? {},
    tls: given.tls ?? (read.isSecure ? {} : undefined),
    prefix,
    replicas,
    connectTimeout: whole('connectTimeout', connectTimeout, 50, 60_000),
    commandTimeout: whole('commandTimeout', commandTimeout, 50, 60_000),
  }
}

/** Whether the text is meant as a URL of Redis, right or wrong. */
export function isRedisUrl(text: string): boolean {
  return /^rediss?(?:\+sentinel)?:\/\//i.test(text)
}

// Not by `new URL`: it takes one host only, and its error repeats what it was given.
function readUrl(url: string): {
  kind: RedisSetup['kind']
  isSecure: boolean
  addresses: Address[]
  masterName: string
  login: Login
  database: number
} {
  const pattern =
    /^redis(s)?(\+sentinel)?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^/?#]*))?(?:\/([^/?#]*))?\/?$/i
  const match = pattern.exec(url)
  if (match === null) {
    throw wrong(
      'url must be redis://HOST, rediss://HOST or redis+sentinel://HOST/NAME; signs of a ' +
        'password that mean something in a URL are written as %40 and the like',
    )
  }
  const [, secure, sentinel, login = '', hosts = '', first = '', second = ''] = match
  const kind = sentinel === undefined ? 'direct' : 'sentinel'
  const [masterName, database] = kind === 'sentinel' ? [first, second] : ['', first]
  if (kind === 'sentinel' && !/^[\w.-]{1,255}$/.test(masterName)) {
    throw wrong('the url of a Sentinel ends with the name of the master: /mymaster')
  }
  if (kind === 'direct' && second !== '') throw wrong('url has too many parts')
  if (!/^\d{0,4}$/.test(database)) throw wrong('the database in the url must be a number')
  const [username = '', ...rest] = login.split(':')
  const port = kind === 'sentinel' ? sentinelPort : redisPort
  const addresses = hosts.split(',').map(text => addressOf(text, port))
  if (addresses.length > mostAddresses) throw wrong(`more than ${mostAddresses} hosts`)
  return {
    kind,
    isSecure: secure !== undefined,
    addresses,
    masterName,
    database: Number(database),
    login: {
      ...(username !== '' && { username: decoded(username) }),
      ...(rest.length > 0 && { password: decoded(rest.join(':')) }),
    },
  }
}

function addressOf(text: string, port: number): Address {
  try {
    return parseAddress(text, port)
  } catch {
    throw wrong('url names a host that is none')
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong('a % in user or password of the url must be written as %25')
  }
}

function loginOf(inUrl: Login, { username, password }: Login): Login {
  const login = {
    username: inUrl.username ?? username,
    password: inUrl.password ?? password,
  }
  if (login.username !== undefined && login.password === undefined) {
    throw wrong('there is a username and no password')
  }
  return login
}

function whole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw wrong(`${name} must be a whole number from ${least} to ${most}`)
}

function wrong(what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `redis: ${what}`)
}
