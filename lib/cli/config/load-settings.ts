import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { basename, dirname, resolve } from 'node:path'
import { isRedisUrl } from '../../../plugins/redis/options.ts'
import { defaultFarmPort, type ListenAddress } from '../../address.ts'
import type { HandfastError } from '../../errors.ts'
import { isChallengeUrl } from '../../proxy/acme-challenge.ts'
import {
  type AccessLogSettings,
  type AdminSettings,
  type FarmSettings,
  logLevels,
  type RedirectSettings,
  type ServeSettings,
  type SiteSettings,
} from '../../serve/settings.ts'
import { ensureCertificate, localhostCertificate } from '../certs.ts'
import type { Io } from '../command.ts'
import { badFlag } from '../flags.ts'
import { defaultCertificate, flagOfOption, type ProxyFlags } from '../proxy-flags.ts'
import type { ConfigFile, FarmConfig, SiteConfig } from '../schema/config-file.ts'
import type { Path } from '../schema/schema.ts'
import { checkPorts } from './check-ports.ts'
import { checkTogether } from './check-together.ts'
import { whyNot } from './read-pem.ts'
import { badSecretFile, findSecret } from './read-secret.ts'
import { readSite } from './read-site.ts'
import { takeoverOf } from './takeover-settings.ts'
import { type ConfigSource, parseConfig } from './yaml-file.ts'

const defaultPort = 8443
/**
 * Settings from flags, a config file and the environment, every file read. Throws
 * ERR_HANDFAST_CONFIG that says where the fault is, what stood there and what was expected.
 * Called again for a reload.
 */
export async function loadSettings(flags: ProxyFlags, io: Io): Promise<ServeSettings> {
  const source =
    flags.config === undefined ? fromFlags(flags, io) : await fromFile(flags, io)
  const { config, folder, fault, notes } = await source
  checkTogether(config, fault)
  const listen = flags.listen ?? config.listen ?? { host: undefined, port: defaultPort }

  const sites = await Promise.all(
    config.sites.map((site, index) =>
      readSite(site, folder, (key, expected, ...inside) =>
        fault(['sites', index, key, ...inside], expected),
      ),
    ),
  )
  const { secret, warnings } = await findSecret({
    file: flags.secretFile ?? config.farm?.secretFile,
    folder: flags.secretFile === undefined ? folder : io.cwd,
    env: io.env['HANDFAST_SECRET'],
    inline: config.farm?.secret,
    fault: expected =>
      flags.secretFile === undefined
        ? fault(['farm', 'secretFile'], expected)
        : badSecretFile(flags.secretFile, expected),
  })
  const disk = diskOf(flags, config, folder, io.cwd)
  const farm = { ...farmOf(config.farm ?? {}, flags, secret, io), ...(disk && { disk }) }
  if (secret === undefined) {
    const signed = signedAuth(sites)
    if (signed) {
      throw fault(
        [...signed, 'sign'],
        'false, because true needs farm.secretFile or HANDFAST_SECRET',
      )
    }
    const why = whySecret(farm, disk)
    if (why !== undefined) throw secretMissing(why, config, fault)
  }
  const admin = adminOf(flags.admin ?? config.admin?.listen, config.admin?.names)
  const ports = checkPorts({ listen, farm, admin, sites }, (path, expected) => {
    const given = { admin: flags.admin, farm: flags.farm.listen }[String(path[0])]
    const flag = flagOfOption.get(path.join('.'))
    return given ? badFlag(`${flag}: expected ${expected}`) : fault(path, expected)
  })
  return {
    listen,
    sites: sites.map(({ warnings: _, ...site }) => site),
    farm,
    admin,
    limits: withoutUndefined(config.limits ?? {}),
    tls: withoutUndefined(config.tls ?? {}),
    trustedProxies: [...(config.trustedProxies ?? []), ...flags.trustedProxies],
    proxyProtocol: [...(config.proxyProtocol ?? []), ...flags.proxyProtocol],
    redirect: redirectOf(flags, config, folder, io.cwd),
    healthPath: config.healthPath,
    workers: flags.workers ?? config.workers ?? availableParallelism(),
    guardian: flags.guardian ? { ...config.guardian, enabled: true } : config.guardian,
    takeover: takeoverOf(config, flags, listen, farm, fault),
    logLevel: flags.logLevel ?? config.logLevel ?? logLevels[1],
    logFormat: flags.logFormat ?? config.logFormat,
    accessLog: accessLogOf(flags, config, folder, io.cwd),
    warnings: [...notes, ...warnings, ...ports, ...sites.flatMap(site => site.warnings)],
  }
}

/** Where an auth is that wants what it says signed. */
function signedAuth(sites: readonly SiteSettings[]): Path | undefined {
  for (const [index, { auth, routes = [] }] of sites.entries()) {
    if (auth?.sign === true) return ['sites', index, 'auth']
    const route = routes.findIndex(one => one.auth !== 'none' && one.auth?.sign === true)
    if (route >= 0) return ['sites', index, 'routes', route, 'auth']
  }
  return undefined
}

/** What there is that can't be without a secret. */
function whySecret(farm: FarmSettings, disk: FarmSettings['disk']): string | undefined {
  if (farm.redis !== undefined)
    return "what is in Redis is sealed under the farm's secret"
  if (farm.listen !== undefined) return 'joining a farm needs its secret'
  if (disk !== undefined) return "what is on a disk is sealed under the farm's secret"
  return undefined
}

/** Blames the file that has a farm, else the flags. */
function secretMissing(
  why: string,
  { farm }: ConfigFile,
  fault: Source['fault'],
): HandfastError {
  const printed = '(handfast secret prints a new one)'
  return farm === undefined
    ? badFlag(
        `${why}: put it into HANDFAST_SECRET or a file for --secret-file ${printed}`,
      )
    : fault(
        ['farm', 'secretFile'],
        `a file, or HANDFAST_SECRET, because ${why} ${printed}`,
      )
}

interface Source {
  readonly config: ConfigFile
  /** Directory that relative paths start from. */
  readonly folder: string
  readonly fault: (path: Path, expected: string) => HandfastError
  readonly notes: readonly string[]
}

async function fromFile(flags: ProxyFlags, io: Io): Promise<Source> {
  const { config, fault } = await readConfigFile(flags, io)
  return {
    config,
    folder: dirname(resolve(io.cwd, flags.config ?? '')),
    fault,
    notes: [],
  }
}

/** The file that `--config` names. */
export async function readConfigFile(
  { config = '' }: ProxyFlags,
  io: Io,
): Promise<ConfigSource> {
  let text: string
  try {
    text = await readFile(resolve(io.cwd, config), 'utf8')
  } catch (error) {
    throw badFlag(`--config: can't read ${config} (${whyNot(error)})`)
  }
  return parseConfig(text, basename(config))
}

/** One site for every name; its certificate is made when none is given. */
async function fromFlags(flags: ProxyFlags, io: Io): Promise<Source> {
  const notes: string[] = []
  if (flags.cert === undefined) {
    const { made } = await ensureCertificate(
      {
        keyFile: resolve(io.cwd, defaultCertificate.keyFile),
        certFile: resolve(io.cwd, defaultCertificate.certFile),
      },
      localhostCertificate,
    )
    if (made) {
      notes.push(
        `made ${defaultCertificate.certFile}, self-signed: no client trusts it by itself; ` +
          'give --cert and --key for a real one',
      )
    }
  }
  const site: SiteConfig = {
    cert: flags.cert ?? defaultCertificate.certFile,
    key: flags.key ?? defaultCertificate.keyFile,
    clientCa: flags.clientCa,
    backends: [...flags.backends],
    backendCa: flags.backendCa,
    resumption: flags.resumption,
  }
  return {
    config: { sites: [site] },
    notes,
    folder: io.cwd,
    fault(path, expected) {
      const option = path
        .map(step => (typeof step === 'number' ? '[]' : `.${step}`))
        .join('')
      const flag = flagOfOption.get(option.slice(1)) ?? option
      const given = site[path.at(-1) as keyof SiteConfig]
      const value = typeof given === 'string' ? ` ${given}` : ''
      return badFlag(`${flag}${value}: expected ${expected}`)
    },
  }
}

function farmOf(
  { secretFile: _, ...config }: FarmConfig,
  flags: ProxyFlags,
  secret: string | undefined,
  io: Io,
): FarmSettings {
  const members = [...(config.members ?? []), ...(flags.farm.members ?? [])]
  const given = [...(config.repositories ?? []), ...(flags.farm.repositories ?? [])]
  const repositories = given.filter(text => !isRedisUrl(text))
  const redis = redisOf(given.filter(isRedisUrl), io)
  const usual =
    members.length + repositories.length > 0
      ? { host: undefined, port: defaultFarmPort }
      : undefined
  const listen: ListenAddress | undefined = flags.farm.listen ?? config.listen ?? usual
  return {
    ...withoutUndefined(config),
    name: config.name ?? 'handfast',
    ...withoutUndefined(flags.farm),
    secret,
    members,
    repositories: repositories.length > 0 ? repositories : undefined,
    ...(redis && { redis }),
    listen,
  }
}

/** The flag, from the working directory, before the file. */
function diskOf(
  { disk: flag }: ProxyFlags,
  config: ConfigFile,
  folder: string,
  cwd: string,
): FarmSettings['disk'] {
  const disk = config.farm?.disk
  if (flag !== undefined) return { ...disk, folder: resolve(cwd, flag) }
  return disk && { ...disk, folder: resolve(folder, disk.folder) }
}

/** A password in a URL of the command line is one that every user of the machine sees. */
function redisOf([url, second]: readonly string[], io: Io): FarmSettings['redis'] {
  if (url === undefined) return undefined
  if (second !== undefined) {
    throw badFlag(
      'one Redis is enough: the hosts of a cluster stand in one URL, redis://A,B',
    )
  }
  const password = io.env['HANDFAST_REDIS_PASSWORD']
  return { url, ...(password !== undefined && password !== '' && { password }) }
}

function redirectOf(
  flags: ProxyFlags,
  config: ConfigFile,
  folder: string,
  cwd: string,
): RedirectSettings | undefined {
  const listen = flags.redirect ?? config.redirect
  const where = flags.acmeChallenge ?? config.acmeChallenge
  if (listen === undefined) {
    if (where !== undefined) throw badFlag('--acme-challenge needs --redirect')
    return undefined
  }
  const from = flags.acmeChallenge === undefined ? folder : cwd
  return {
    ...listen,
    httpsPort: config.redirectPort,
    acmeChallenge:
      where === undefined || isChallengeUrl(where) ? where : resolve(from, where),
  }
}

/** The flag, with a path from the working directory, before the file. */
function accessLogOf(
  flags: ProxyFlags,
  config: ConfigFile,
  folder: string,
  cwd: string,
): AccessLogSettings | undefined {
  const to = flags.accessLog ?? config.accessLog
  if (to === undefined) return undefined
  const format = flags.accessLogFormat ?? config.accessLogFormat ?? 'json'
  if (to === 'off' || to === 'stdout' || to === 'stderr') return { to, format }
  return { to: resolve(flags.accessLog === undefined ? folder : cwd, to), format }
}

function adminOf(
  listen: ListenAddress | undefined,
  names: readonly string[] | undefined,
): AdminSettings | undefined {
  return listen && (names === undefined ? listen : { ...listen, names })
}

/** `exactOptionalPropertyTypes` tells a missing key from one that is undefined. */
function withoutUndefined<T extends object>(
  object: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
