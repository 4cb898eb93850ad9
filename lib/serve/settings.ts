import type { LmdbOptions } from '../../plugins/lmdb/lmdb.ts'
import type { RedisOptions } from '../../plugins/redis/options.ts'
import type { ListenAddress } from '../address.ts'
import type { AuthOptions } from '../auth/options.ts'
import type { LogFormat, LogOptions } from '../log.ts'
import type { FarmOptions } from '../member/options.ts'
import type {
  AccessLogFormat,
  Limits,
  ProxyOptions,
  Route,
  Site,
} from '../proxy/options.ts'
import type { GuardianSettings } from '../takeover/guardian/options.ts'
import type { HostTakeoverSettings } from '../takeover/host/options.ts'

/**
 * Everything a proxy process runs from, files already read: a worker gets it whole from the
 * primary, so that all workers serve the same even while files change under them.
 */
export interface ServeSettings {
  readonly listen: ListenAddress
  readonly sites: readonly SiteSettings[]
  readonly farm: FarmSettings
  /** Where status, metrics and revocation are served; undefined: nowhere. */
  readonly admin?: AdminSettings | undefined
  readonly limits: Partial<Limits>
  readonly tls: Pick<ProxyOptions, 'minVersion' | 'maxVersion'>
  /** Addresses and subnets whose `X-Forwarded-*` is believed. */
  readonly trustedProxies: readonly string[]
  /** Addresses and subnets of balancers that speak the PROXY protocol. */
  readonly proxyProtocol?: readonly string[] | undefined
  /** Where clients of plain HTTP are sent to HTTPS; undefined: nowhere. */
  readonly redirect?: RedirectSettings | undefined
  /** Where a balancer asks on the port for clients whether they are wanted. */
  readonly healthPath?: string | undefined
  readonly workers: number
  /** Whether client connections outlive the worker that serves them, and how many. */
  readonly guardian?: GuardianSettings | undefined
  /** How connections outlive this host; undefined: they don't. */
  readonly takeover?: HostTakeoverSettings | undefined
  readonly logLevel: NonNullable<LogOptions['level']>
  /** Undefined: as whoever reads standard output needs it. */
  readonly logFormat?: LogFormat | undefined
  /** Undefined: a line for each request is in the log, at level info. */
  readonly accessLog?: AccessLogSettings | undefined
  /** Sentences for the operator: nothing is wrong, but something is worth a change. */
  readonly warnings: readonly string[]
}

/** A site with, instead of what judges its requests, the settings to make that from. */
export interface SiteSettings extends Omit<Site, 'authorizer' | 'routes'> {
  readonly auth?: SiteAuthSettings | undefined
  readonly routes?: readonly RouteSettings[] | undefined
}

/** The same for a route. */
export interface RouteSettings extends Omit<Route, 'authorizer'> {
  readonly auth?: SiteAuthSettings | 'none' | undefined
}

/** Without functions, so that it can be sent to a worker. */
export interface SiteAuthSettings extends AuthOptions {
  readonly realm: string
  /** Whether what the backend is told of the user is signed. */
  readonly sign?: boolean | undefined
}

export interface AccessLogSettings {
  /** Or the absolute path of a file. */
  readonly to: 'off' | 'stdout' | 'stderr' | (string & {})
  readonly format: AccessLogFormat
}

export interface RedirectSettings extends ListenAddress {
  /** Port of HTTPS as clients know it. Default: the one of `listen`. */
  readonly httpsPort?: number | undefined
  /** Absolute path of a folder, or `http://host:port`. */
  readonly acmeChallenge?: string | undefined
}

export interface AdminSettings extends ListenAddress {
  /** Names under which it may be called, beside addresses and its own. */
  readonly names?: readonly string[] | undefined
}

export interface FarmSettings
  extends Omit<
    FarmOptions,
    'memberId' | 'host' | 'tiers' | 'repository' | 'log' | 'clock'
  > {
  readonly name: string
  readonly secret?: string | undefined
  readonly members: readonly string[]
  /** `host:port` of members that are repositories. */
  readonly repositories?: readonly string[] | undefined
  /** The Redis that hosts share, if any. */
  readonly redis?: RedisOptions | undefined
  /** Host under which other members reach this one, when it listens on every address. */
  readonly advertise?: string | undefined
  /** Its folder is an absolute path. */
  readonly disk?: LmdbOptions | undefined
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const

/** What a reload brings in. */
export function reloadable({
  sites,
  limits,
  proxyProtocol,
  healthPath,
}: ServeSettings): Pick<
  ServeSettings,
  'sites' | 'limits' | 'proxyProtocol' | 'healthPath'
> {
  return { sites, limits, proxyProtocol, healthPath }
}

/** True when a reload can't bring in the difference: a port or the farm would change. */
export function needsRestart(before: ServeSettings, after: ServeSettings): boolean {
  const { warnings } = before
  const reloaded = { ...before, ...reloadable(after), warnings }
  return JSON.stringify(reloaded) !== JSON.stringify({ ...reloaded, ...after, warnings })
}
