import type { ListenAddress } from '../address.ts'
import type { LogFormat } from '../log.ts'
import { farmWords } from '../member/options.ts'
import { type AccessLogFormat, accessLogFormats } from '../proxy/options.ts'
import { type ResumptionMode, resumptionModes } from '../resumption/session/policy.ts'
import type { ServeSettings } from '../serve/settings.ts'
import { badFlag, type FlagTable, flagLines, parseFlags } from './flags.ts'
import { memberFlags } from './member-flags.ts'
import type { FarmConfig } from './schema/config-file.ts'
import {
  address,
  backend,
  challengePlace,
  host,
  logPlace,
  member,
  oneOf,
  repository,
  resumption,
  subnet,
  wholeNumber,
} from './schema/kinds.ts'

/** What flags alone serve with, made when it is missing. */
export const defaultCertificate = {
  keyFile: 'certs/localhost.key',
  certFile: 'certs/localhost.crt',
}

/** The command line of `handfast proxy`, each value read, no file opened. */
export interface ProxyFlags {
  readonly config: string | undefined
  /** Read all, bind nothing. */
  readonly check: boolean
  readonly listen: ListenAddress | undefined
  readonly backends: readonly string[]
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly clientCa: string | undefined
  readonly backendCa: string | undefined
  readonly resumption: ResumptionMode | undefined
  readonly farm: FarmConfig
  readonly redirect: ListenAddress | undefined
  readonly acmeChallenge: string | undefined
  readonly trustedProxies: readonly string[]
  readonly proxyProtocol: readonly string[]
  readonly secretFile: string | undefined
  readonly disk: string | undefined
  readonly admin: ListenAddress | undefined
  readonly workers: number | undefined
  readonly guardian: boolean
  readonly logLevel: ServeSettings['logLevel'] | undefined
  readonly logFormat: LogFormat | undefined
  readonly accessLog: string | undefined
  readonly accessLogFormat: AccessLogFormat | undefined
}

/** A flag that says the same as an option of the config file has its path: `option`. */
const site = {
  listen: {
    value: '[HOST:]PORT',
    kind: address,
    option: 'listen',
    about: 'where clients connect (default 8443)',
  },
  backend: {
    value: 'URL',
    several: true,
    kind: backend,
    option: 'sites[].backends',
    about: 'http://HOST:PORT or https://HOST:PORT, repeatable',
  },
  cert: {
    value: 'FILE',
    option: 'sites[].cert',
    about: `PEM (default ${defaultCertificate.certFile}, made when missing)`,
  },
  key: {
    value: 'FILE',
    option: 'sites[].key',
    about: `its key, PEM (default ${defaultCertificate.keyFile})`,
  },
  'client-ca': {
    value: 'FILE',
    option: 'sites[].clientCa',
    about: 'ask clients for a certificate of these authorities, refuse others',
  },
  'backend-ca': {
    value: 'FILE',
    option: 'sites[].backendCa',
    about: 'authorities of https backends (default those of Node)',
  },
  resumption: {
    value: 'MODE',
    kind: resumption,
    words: resumptionModes,
    option: 'sites[].resumption',
    about:
      "auto (default), stateful (sessions in the farm's table only), sealed (TLS 1.3 by " +
      'tickets, with client certificates, too) or off',
  },
  redirect: {
    value: '[HOST:]PORT',
    kind: address,
    option: 'redirect',
    about: 'a port of plain HTTP that sends clients to HTTPS (default none)',
  },
  'acme-challenge': {
    value: 'WHERE',
    kind: challengePlace,
    option: 'acmeChallenge',
    about:
      'on that port, where answers to ACME http-01 challenges come from: a webroot, or ' +
      'http://HOST:PORT',
  },
  'trusted-proxy': {
    value: 'ADDRESS',
    several: true,
    kind: subnet,
    option: 'trustedProxies',
    about:
      'IP address or subnet of a proxy in front, whose X-Forwarded-* is believed, repeatable',
  },
  'proxy-protocol': {
    value: 'ADDRESS',
    several: true,
    kind: subnet,
    option: 'proxyProtocol',
    about:
      'IP address or subnet of a balancer that speaks the PROXY protocol (version 1 or 2), ' +
      'repeatable',
  },
  config: {
    value: 'FILE',
    about: 'YAML; for more than one site, limits and the rest; see docs/proxy.md',
  },
} as const

const farm = {
  member: {
    value: 'HOST[:PORT]',
    several: true,
    kind: member,
    option: 'farm.members',
    about: "another member's farm port (default 7443), repeatable",
  },
  repository: {
    value: 'HOST[:PORT]|URL',
    several: true,
    kind: repository,
    option: 'farm.repositories',
    about:
      'a handfast repository, which keeps all sessions (default port 7443), repeatable; or ' +
      'redis://HOST, which needs no farm port',
  },
  'farm-listen': {
    value: '[HOST:]PORT',
    kind: address,
    option: 'farm.listen',
    about: "this one's farm port (7443 when there are members or repositories)",
  },
  'farm-advertise': {
    value: 'HOST',
    kind: host,
    option: 'farm.advertise',
    about: 'host under which other members reach this one',
  },
  transport: {
    value: 'KIND',
    kind: oneOf(farmWords.transport),
    words: farmWords.transport,
    option: 'farm.transport',
    about:
      'how records travel: stream (default), or datagrams: auto, multicast or unicast; stream ' +
      'on all members or on none',
  },
  topology: {
    value: 'KIND',
    kind: oneOf(farmWords.topology),
    words: farmWords.topology,
    option: 'farm.topology',
    about:
      'where sessions are: replicated, on every host; partitioned, on those that own them; tiered, ' +
      'on repositories; auto (default), by what hosts there are',
  },
  'farm-name': memberFlags['farm-name'],
  'secret-file': memberFlags['secret-file'],
  disk: {
    value: 'FOLDER',
    option: 'farm.disk.folder',
    about:
      'where this host keeps what it knows, for when every process was stopped (default nowhere)',
  },
} as const

const ofProcess = {
  check: {
    about:
      'read all that is configured, say what is wrong (exit 2) or not (0), and bind no port',
  },
  admin: {
    value: '[HOST:]PORT',
    kind: address,
    option: 'admin.listen',
    about:
      'status, metrics and revocation over HTTP (default nowhere; HOST 127.0.0.1), of all workers',
  },
  workers: {
    value: 'N',
    kind: wholeNumber(1, 1024),
    option: 'workers',
    about: 'processes, together one member (default one for each core)',
  },
  guardian: {
    option: 'guardian.enabled',
    about: 'client connections outlive the worker that serves them (Linux, with koffi)',
  },
  'log-level': memberFlags['log-level'],
  'log-format': memberFlags['log-format'],
  'access-log': {
    value: 'WHERE',
    kind: logPlace,
    option: 'accessLog',
    about:
      'off, stdout, stderr or a file, for a line per request (default in the log, at level info)',
  },
  'access-log-format': {
    value: 'FORMAT',
    kind: oneOf(accessLogFormats),
    words: accessLogFormats,
    option: 'accessLogFormat',
    about: 'json (default) or combined, as Apache and nginx have it; with --access-log',
  },
} as const

const table = { ...site, ...farm, ...ofProcess }

export const proxyFlags: FlagTable = table

/** Options of the config file that have a flag: the path and `--flag`. */
export const flagOfOption: ReadonlyMap<string, string> = new Map(
  Object.entries(table).flatMap(([name, flag]) =>
    'option' in flag ? [[flag.option, `--${name}`] as const] : [],
  ),
)

/** The part of `--help` that lists the flags. */
export const proxyFlagsHelp: string = `${flagLines(site)}

Farm:
${flagLines(farm)}

Process:
${flagLines(ofProcess)}
`

export function readProxyFlags(args: readonly string[]): ProxyFlags {
  const flags = parseFlags('proxy', args, table)
  const ofSite = Object.keys(flags).find(isOfSite)
  if (flags.config !== undefined && ofSite !== undefined) {
    throw badFlag(`--${ofSite} and --config exclude each other: put it into the file`)
  }
  if (flags.config === undefined && flags.backend === undefined) {
    throw badFlag('needs --backend URL, or --config FILE')
  }
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    throw badFlag('--cert and --key belong together')
  }
  if (flags['access-log-format'] !== undefined && flags['access-log'] === undefined) {
    throw badFlag('--access-log-format needs --access-log')
  }
  return {
    config: flags.config,
    check: flags.check === true,
    listen: flags.listen,
    backends: flags.backend ?? [],
    cert: flags.cert,
    key: flags.key,
    clientCa: flags['client-ca'],
    backendCa: flags['backend-ca'],
    resumption: flags.resumption,
    farm: {
      members: flags.member ?? [],
      repositories: flags.repository ?? [],
      listen: flags['farm-listen'],
      name: flags['farm-name'],
      advertise: flags['farm-advertise'],
      transport: flags.transport,
      topology: flags.topology,
    },
    redirect: flags.redirect,
    acmeChallenge: flags['acme-challenge'],
    trustedProxies: flags['trusted-proxy'] ?? [],
    proxyProtocol: flags['proxy-protocol'] ?? [],
    secretFile: flags['secret-file'],
    disk: flags.disk,
    admin: flags.admin,
    workers: flags.workers,
    guardian: flags.guardian === true,
    logLevel: flags['log-level'],
    logFormat: flags['log-format'],
    accessLog: flags['access-log'],
    accessLogFormat: flags['access-log-format'],
  }
}

/** What the flags say, by the path of the option that they stand for. */
export function flagTexts(
  args: readonly string[],
): ReadonlyMap<string, { readonly flag: string; readonly text: string }> {
  const texts = Object.fromEntries(
    Object.entries(proxyFlags).map(([name, { kind: _, ...flag }]) => [name, flag]),
  )
  return new Map(
    Object.entries(parseFlags('proxy', args, texts)).flatMap(([name, given]) => {
      const flag = table[name as keyof typeof table]
      if (!('option' in flag)) return []
      return [[flag.option, { flag: `--${name}`, text: String(given) }] as const]
    }),
  )
}

/** The sites of a config file take the place of such a flag. */
function isOfSite(name: string): boolean {
  const flag = table[name as keyof typeof table]
  return 'option' in flag && flag.option.startsWith('sites')
}
