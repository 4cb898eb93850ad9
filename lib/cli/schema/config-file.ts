import type { ListenAddress } from '../../address.ts'
import type { BearerOptions } from '../../auth/method/bearer.ts'
import type { ForwardAuthOptions } from '../../auth/method/forward-auth.ts'
import type { AffinityOptions } from '../../dispatch/affinity/options.ts'
import type { BackendTarget } from '../../dispatch/options.ts'
import type {
  AccessLogFormat,
  Handling,
  Limits,
  ProxyOptions,
  RedirectOptions,
  RouteMatch,
  Site,
} from '../../proxy/options.ts'
import type {
  FarmSettings,
  ServeSettings,
  SiteAuthSettings,
} from '../../serve/settings.ts'
import type { GuardianSettings } from '../../takeover/guardian/options.ts'
import type { HostTakeoverSettings } from '../../takeover/host/options.ts'

/** The config file as `schema.ts` reads it: times are milliseconds, sizes bytes. */
export interface ConfigFile {
  readonly listen?: ListenAddress | undefined
  readonly sites: readonly SiteConfig[]
  readonly farm?: FarmConfig | undefined
  readonly admin?:
    | { readonly listen: ListenAddress; readonly names?: readonly string[] | undefined }
    | undefined
  readonly limits?: { readonly [name in keyof Limits]?: number | undefined } | undefined
  readonly tls?:
    | {
        readonly minVersion?: ProxyOptions['minVersion']
        readonly maxVersion?: ProxyOptions['maxVersion']
      }
    | undefined
  readonly trustedProxies?: readonly string[] | undefined
  readonly proxyProtocol?: readonly string[] | undefined
  readonly redirect?: ListenAddress | undefined
  readonly redirectPort?: number | undefined
  readonly acmeChallenge?: string | undefined
  readonly healthPath?: string | undefined
  readonly workers?: number | undefined
  readonly guardian?: GuardianSettings | undefined
  readonly takeover?: HostTakeoverSettings | undefined
  readonly logLevel?: ServeSettings['logLevel'] | undefined
  readonly logFormat?: ServeSettings['logFormat']
  readonly accessLog?: string | undefined
  readonly accessLogFormat?: AccessLogFormat | undefined
}

/** As `Site`, with the paths of files in place of what is in them. */
export interface SiteConfig extends HandlingConfig {
  readonly names?: readonly string[] | undefined
  readonly cert: string
  readonly key: string
  readonly clientCa?: string | undefined
  readonly clientCertificate?: Site['clientCertificate']
  readonly resumption?: Site['resumption']
  readonly auth?: AuthConfig | undefined
  readonly routes?: readonly RouteConfig[] | undefined
}

/** As `Route`, which requests it takes and what becomes of them side by side. */
export interface RouteConfig extends RouteMatch, HandlingConfig {
  readonly redirect?: string | RedirectOptions | undefined
  readonly auth?: AuthConfig | 'none' | undefined
}

/** As `Handling`, with the paths of files in place of what is in them. */
export interface HandlingConfig
  extends Omit<
    Handling,
    'authorizer' | 'affinity' | 'backendCa' | 'backendCert' | 'backendKey'
  > {
  readonly backends?: readonly (string | BackendTarget)[] | undefined
  readonly backendCa?: string | undefined
  readonly affinity?: string | AffinityOptions | undefined
  readonly backendCert?: string | undefined
  readonly backendKey?: string | undefined
}

/** As `SiteAuthSettings`, with the paths of files in place of what is in them. */
export interface AuthConfig
  extends Pick<
    SiteAuthSettings,
    | 'required'
    | 'ttl'
    | 'sign'
    | 'attempts'
    | 'maxChecks'
    | 'trustedOrigins'
    | 'rememberBy'
    | 'logoutPath'
  > {
  readonly realm?: string | undefined
  readonly basic?: { readonly htpasswd: string } | undefined
  readonly bearer?:
    | (Omit<BearerOptions, 'key'> & { key?: string | undefined })
    | undefined
  readonly certificate?: 'cn' | 'email' | 'uri' | 'dns' | undefined
  readonly forward?:
    | (Omit<ForwardAuthOptions, 'ca'> & { ca?: string | undefined })
    | undefined
  readonly form?:
    | {
        readonly htpasswd: string
        readonly path?: string | undefined
        readonly logoutPath?: string | undefined
        readonly cookie?: string | undefined
      }
    | undefined
}

export interface FarmConfig
  extends Partial<Omit<FarmSettings, 'members' | 'name' | 'redis'>> {
  readonly name?: string | undefined
  readonly secretFile?: string | undefined
  readonly members?: readonly string[] | undefined
  readonly repositories?: readonly string[] | undefined
}
