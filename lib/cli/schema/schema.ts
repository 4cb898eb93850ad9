import { type LmdbOptions, lmdbNumbers } from '../../../plugins/lmdb/lmdb.ts'
import { logFormats } from '../../log.ts'
import { farmNumbers, farmWords } from '../../member/options.ts'
import { nearestName, unknownName } from '../../options/unknown-name.ts'
import { accessLogFormats } from '../../proxy/options.ts'
import { logLevels } from '../../serve/settings.ts'
import { type GuardianSettings, guardianRules } from '../../takeover/guardian/options.ts'
import {
  commitModes,
  type HostTakeoverSettings,
  hostTakeoverRules,
} from '../../takeover/host/options.ts'
import { flagOfOption } from '../proxy-flags.ts'
import { auth } from './auth-schema.ts'
import type { ConfigFile, FarmConfig } from './config-file.ts'
import {
  address,
  challengePlace,
  count,
  file,
  folder,
  host,
  hostName,
  ipv4,
  logPlace,
  member,
  name,
  nameOfFarm,
  oneOf,
  path,
  port,
  repository,
  resumption,
  secret,
  serverName,
  subnet,
  text,
  yesNo,
} from './kinds.ts'
import { limits } from './limits-schema.ts'
import { numbersOf } from './numbers.ts'
import {
  type DescribedOption,
  describe,
  jsonSchema,
  keysAt,
  list,
  mapping,
  mappings,
  needed,
  neededSome,
  option,
} from './option.ts'
import { handling, route } from './route-schema.ts'

/**
 * The config file: each option once, with what it must be, a sentence about it and its default.
 * The reader of the file, its JSON Schema, and the table in the docs all come from here; an
 * option is added here and in `config-file.ts`.
 */

const site = mapping('a server name, its certificate, and where its requests go', {
  names: list(serverName, 'host names, *.name for one level below', {
    otherwise: 'every other name',
  }),
  cert: needed(file, 'PEM, leaf first'),
  key: needed(file, 'PEM, without a passphrase'),
  clientCa: option(file, 'PEM, authorities of client certificates', {
    otherwise: 'none',
  }),
  clientCertificate: option(
    oneOf(['off', 'optional', 'required']),
    'whether clients must show one; the backend is told in Client-Cert (RFC 9440)',
    { otherwise: 'required with clientCa, else off' },
  ),
  resumption: option(resumption, 'how its TLS sessions resume; see Sealed tickets', {
    usual: 'auto',
  }),
  ...handling,
  auth: auth.optional(),
  routes: mappings(
    'requests that go another way; the first that fits has it',
    route,
  ).optional(),
})

const farm = mapping('the other members', {
  name: option(nameOfFarm, 'members of another name are refused', { usual: 'handfast' }),
  secretFile: option(file, 'file with 32 bytes: base64url, base64, hex', {
    otherwise: 'HANDFAST_SECRET',
  }),
  secret: option(secret, 'the same in the file itself; warned about'),
  members: list(member, 'HOST[:PORT]; a DNS name stands for all its addresses', {
    otherwise: 'none',
  }),
  repositories: list(
    repository,
    'HOST[:PORT] of handfast repository: members that keep all sessions; with some, topology is ' +
      'tiered. Or one redis://, rediss:// or redis+sentinel:// URL: a Redis or Valkey that the ' +
      'hosts share, with or without farm ports; its password may be in HANDFAST_REDIS_PASSWORD',
    { otherwise: 'none' },
  ),
  listen: option(address, 'for the other members, one port for all workers', {
    otherwise: '7443 if there are members or repositories',
  }),
  advertise: option(host, 'host under which members reach this one', {
    otherwise: 'what others see',
  }),
  ...numbersOf(farmNumbers, {
    memory:
      'for sessions, which all workers share; each has as much at most for log-ins and ' +
      'revocations, too',
    sessionTimeout:
      "a session resumes for so long after it was made; a server's own sessionTimeout counts " +
      'where it is shorter',
    lineageTimeout: 'a chain of resumptions ends so long after its full handshake',
    lookupBudget: 'longest wait for other members on a miss',
    copies:
      'hosts that own a session where it is partitioned; given and tiered: repositories that own ' +
      'it, else each has all',
    mintBudget: 'longest wait for another member to have a new session',
    mintLimit: {
      about:
        'full handshakes of one address in a minute whose sessions are stored, by each worker, ' +
        'resumed ones count a tenth; 0: no limit, as behind a balancer that shows its own address',
      otherwise:
        'what there is room for: the sessions of one address (IPv6: /64) take at most four ' +
        'fifths of what all others leave free in memory',
    },
    helloTimeout:
      "a client must have sent its ClientHello; the server's own handshakeTimeout counts too, " +
      'where it is shorter',
    joinTimeout:
      'longest wait at start for members to answer, and for the next part of what they have to ' +
      'give',
  }),
  transport: option(
    oneOf(farmWords.transport),
    'how records travel. stream: TLS. auto: multicast, to whom it does not reach unicast ' +
      'datagrams, else TLS. multicast: the same, or do not start. unicast: without multicast. ' +
      'stream on all members or on none; the others mix. UDP uses the number of the farm port ' +
      'and, for multicast, 7177',
    { usual: 'stream' },
  ),
  topology: option(
    oneOf(farmWords.topology),
    'where TLS sessions are, but for sealed tickets. replicated: on every host. partitioned: ' +
      'with the hosts that own them; the others ask. tiered: on the repositories, and where they ' +
      'were made. auto: tiered with a repository, else partitioned from six hosts on',
    { usual: 'auto' },
  ),
  asks: option(
    oneOf(farmWords.asks),
    'how the owners of a session are asked: one after the other, or all at once',
    { usual: 'sequence' },
  ),
  onPartition: option(
    oneOf(farmWords.onPartition),
    'full-handshake: resume nothing while a member is out of reach',
    { usual: 'serve' },
  ),
  disk: mapping(
    'a folder in which the host keeps what it knows, sealed, for when every process was stopped; ' +
      'needs the package lmdb',
    {
      folder: needed(folder, 'of this machine, for this host alone; made when missing'),
      ...numbersOf(lmdbNumbers, {
        maxBytes: 'all that its file may take; what ends first makes room',
        loadTimeout:
          'longest wait at start for what is there; sessions are not waited for',
      }),
      fsync: option(
        yesNo,
        'a record is kept when the disk has it; false: when the system has it, so that a power ' +
          'cut costs all',
        { usual: true },
      ),
    } satisfies Record<keyof LmdbOptions, unknown>,
  ).optional(),
} satisfies Record<keyof FarmConfig, unknown>)

const admin = mapping('status, metrics and revocation, of all workers', {
  listen: needed(address, 'where; HOST 127.0.0.1 unless it is given'),
  names: list(
    hostName,
    "names under which the admin port may be called, beside addresses, localhost and the machine's " +
      'name; others get 421',
    { otherwise: 'none' },
  ),
})

const tlsVersion = oneOf(['TLSv1.2', 'TLSv1.3'])

const configFile = mapping('handfast.yaml, the config file of handfast proxy', {
  listen: option(address, 'for clients', { usual: 8443 }),
  sites: mappings('what is served', site),
  farm: farm.optional(),
  admin: admin.optional(),
  tls: mapping('versions of TLS for clients', {
    minVersion: option(tlsVersion, 'the oldest', { usual: 'TLSv1.2' }),
    maxVersion: option(tlsVersion, 'the newest', { usual: 'TLSv1.3' }),
  }).optional(),
  trustedProxies: list(
    subnet,
    'proxies in front whose X-Forwarded-* and the like are believed; of others they are dropped',
    { otherwise: 'none' },
  ),
  proxyProtocol: list(
    subnet,
    'balancers that speak the PROXY protocol, version 1 or 2: each connection of theirs must ' +
      "begin with its header, and is the client's own then; from others none is looked for",
    { otherwise: 'none' },
  ),
  redirect: option(
    address,
    'a port of plain HTTP that sends clients to HTTPS, to the same host where it is one of a site',
    { otherwise: 'none' },
  ),
  redirectPort: option(port, 'port of HTTPS that they are sent to', {
    otherwise: 'the one of listen',
  }),
  acmeChallenge: option(
    challengePlace,
    'on that port, where answers to ACME http-01 challenges come from: a webroot, or ' +
      'http://HOST:PORT of a client that answers itself',
    { otherwise: 'none' },
  ),
  healthPath: option(
    path,
    'a path of every site at which GET and HEAD are answered 200, or 503 when no clients are ' +
      'wanted, under any name and before log-in',
    { otherwise: 'none' },
  ),
  workers: option(count, 'processes', { otherwise: 'one for each core' }),
  guardian: mapping(
    'client connections outlive the worker that serves them; they speak HTTP/1.1 then, not HTTP/2. ' +
      'Linux, and the package koffi',
    {
      enabled: option(yesNo, 'whether they do; at least two workers then', {
        usual: false,
      }),
      ...numbersOf(guardianRules, {
        maxConnections:
          'that the supervisor holds, a file descriptor each; others end with their worker',
        maxBytes: 'of what it knows of them',
      }),
    } satisfies Record<keyof GuardianSettings, unknown>,
  ).optional(),
  takeover: mapping(
    'client connections outlive this host: another member goes on with them; they speak HTTP/1.1 ' +
      'then, not HTTP/2. Linux, CAP_NET_ADMIN and CAP_NET_RAW, the package koffi, a farm with a ' +
      'secret, workers: 1',
    {
      address: needed(
        ipv4,
        'virtual IPv4 address of this member alone, which another one inherits; handfast puts it ' +
          'on the interface',
      ),
      shared: option(
        yesNo,
        'all members have this same address, behind a switch or router that spreads connections ' +
          'over them (layer 4, direct return); handfast puts it on lo, and needs the command nft',
        { usual: false },
      ),
      host: option(
        ipv4,
        'address of this host alone, that the fence is called with where the other one is shared',
        { otherwise: 'that of farm.advertise or farm.listen' },
      ),
      interface: needed(
        name,
        'network interface that the address stands on, or that clients are behind where it is shared',
      ),
      fence: neededSome(
        text,
        'program and arguments that silence a host for good, called with the member and its ' +
          'own address behind them; 0: it is silent. Without that nothing is taken over',
      ),
      commit: option(
        oneOf(commitModes),
        'before-response: nothing is said to a client before other members know what it follows ' +
          'from, so that a connection serves its next requests after a takeover; none: at once',
        { usual: 'none' },
      ),
      bundles: option(
        yesNo,
        'connections of one client, of one TLS session and those that resumed from it, are written ' +
          'down all at once, eight at most: others have all of them as of one moment, or none',
        { usual: false },
      ),
      ...numbersOf(hostTakeoverRules, {
        heartbeat: 'between two words of a member that it lives',
        timeout: 'without one for so long a member has failed; the same on all members',
        fenceTimeout: 'longest wait for the fence; then it has failed',
        commitTimeout:
          'longest wait of an answer for other members, with commit; then the connection is reset ' +
          'where they could go on from before it',
      }),
    } satisfies Record<keyof HostTakeoverSettings, unknown>,
  ).optional(),
  logLevel: option(oneOf(logLevels), 'lowest level that is logged', { usual: 'info' }),
  logFormat: option(
    oneOf(logFormats),
    'json: lines of JSON; pretty: for a person, with ISO time and names of levels',
    { otherwise: 'pretty on a terminal, else json' },
  ),
  accessLog: option(
    logPlace,
    'where a line for each request goes: off, stdout, stderr or a file, whatever the logLevel; ' +
      'SIGUSR1 opens the file anew',
    { otherwise: 'into the log, at level info' },
  ),
  accessLogFormat: option(
    oneOf(accessLogFormats),
    'json, or combined: that of Apache and nginx; needs an accessLog',
    { usual: 'json' },
  ),
  limits: limits.optional(),
})

export type Path = readonly (string | number)[]

/** What is wrong at a path of the file. */
export interface Fault {
  readonly path: Path
  /** What the value must be. */
  readonly expected?: string | undefined
  /** The last step of the path is no key: what to say of it. */
  readonly unknownKey?: string | undefined
}

/**
 * The config, or the first thing that is wrong with it. A key that nobody knows comes before
 * one that is missing: most often they are the same one, written wrong.
 */
export function checkConfig(document: unknown): ConfigFile | Fault {
  const result = configFile.safeParse(document ?? {})
  if (result.success) return result.data
  const { issues } = result.error
  const issue = mostTelling(issues)
  if (issue === undefined) return { path: [], expected: 'a config' }
  const path = issue.path.filter(step => typeof step !== 'symbol')
  if (issue.code !== 'unrecognized_keys') return { path, expected: expectedOf(issue) }
  const [key = ''] = issue.keys
  return { path: [...path, key], unknownKey: adviceOn(key, path) }
}

export function isFault(checked: ConfigFile | Fault): checked is Fault {
  return 'path' in checked
}

/**
 * A key that is right, but in another mapping, is sent there: first to one of the same name. The
 * nearest name in its own is meant where it is the same word, longer or shorter.
 */
function adviceOn(key: string, path: Path): string {
  const known = keysAt(configFile, path)
  const all = describeConfig()
    .map(({ path }) => path)
    .filter(path => path === key || path.endsWith(`.${key}`))
    .map(path => path.slice(0, -key.length - 1))
  const namesakes = all.filter(place => place.split('.').at(-1) === path.at(-1))
  const places = namesakes.length > 0 ? namesakes : all
  const near = nearestName(key, known) ?? key
  const sameWord = near !== key && (near.startsWith(key) || key.startsWith(near))
  const isHere = namesakes.length === 0 && sameWord
  if (places.length === 0 || places.length > 3 || isHere) return unknownName(key, known)
  return `it stands ${places.map(place => placeText(place, path)).join(', or ')}`
}

/** A mapping of the file, as one is sent there from a path. */
function placeText(place: string, [from, ...inside]: Path): string {
  if (place === '') return 'at the top level'
  if (from !== 'sites' || place.startsWith('sites')) return `in ${place}`
  const reach = place === inside.at(-1) ? ', for all sites' : ''
  return `in ${place} at the top level${reach}`
}

export interface ConfigOption extends DescribedOption {
  /** `--listen`, where a flag says the same. */
  readonly flag: string | undefined
}

/** All options of the config file, as the table in the docs has them. */
export function describeConfig(): ConfigOption[] {
  const options = describe(configFile)
  return options.map(option => ({ ...option, flag: flagOfOption.get(option.path) }))
}

/** JSON Schema of the config file. */
export function configJsonSchema(): object {
  return { title: 'handfast proxy', ...jsonSchema(configFile) }
}

type Issue = Extract<
  ReturnType<typeof configFile.safeParse>,
  { success: false }
>['error']['issues'][number]

function mostTelling(issues: readonly Issue[]): Issue | undefined {
  const all = issues.map(closest)
  return all.find(({ code }) => code === 'unrecognized_keys') ?? all[0]
}

/** Of what may be short or a mapping, what is wrong with the one that stands there. */
function closest(issue: Issue): Issue {
  if (issue.code !== 'invalid_union') return issue
  const [short, mapping] = issue.errors.map(mostTelling)
  const isMapping = mapping?.code !== 'invalid_type' || mapping.path.length > 0
  const inside = isMapping ? mapping : short
  return inside ? { ...inside, path: [...issue.path, ...inside.path] } : issue
}

function expectedOf(issue: Issue): string {
  if (issue.code === 'too_small') return 'at least one entry'
  if (issue.code !== 'invalid_type') return issue.message
  return issue.expected === 'array' ? 'a list' : 'a mapping'
}
