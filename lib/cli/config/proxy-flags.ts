import type { ListenAddress } from '../../address.ts'
import { farmName, farmWords } from '../../member/options.ts'
import {
  type ResumptionMode,
  readMode,
  resumptionModes,
} from '../../resumption/session/policy.ts'
import { logLevels, type ServeSettings } from '../../serve/settings.ts'
import { shown } from '../../shown.ts'
import { badFlag, listOf, parseFlags } from '../flags.ts'
import {
  isWhole,
  readAddress,
  readBackend,
  readHost,
  readMember,
  readSubnet,
} from '../quantity.ts'
import type { FarmConfig } from './config-file.ts'

/** The command line of `handfast proxy`, each value read, no file opened. */
export interface ProxyFlags {
  readonly config: string | undefined
  readonly listen: ListenAddress | undefined
  readonly backends: readonly string[]
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly clientCa: string | undefined
  readonly backendCa: string | undefined
  readonly resumption: ResumptionMode | undefined
  readonly farm: FarmConfig
  readonly trustedProxies: readonly string[]
  readonly proxyProtocol: readonly string[]
  readonly secretFile: string | undefined
  readonly admin: ListenAddress | undefined
  readonly workers: number | undefined
  readonly logLevel: ServeSettings['logLevel'] | undefined
}

/** Flags whose place is taken by the sites of a config file. */
const siteFlags = [
  ...(['backend', 'cert', 'key', 'client-ca', 'backend-ca', 'resumption'] as const),
]

export function readProxyFlags(args: readonly string[]): ProxyFlags {
  const flags = parseFlags('proxy', args, {
    config: { type: 'string' },
    listen: { type: 'string' },
    backend: { type: 'string', multiple: true },
    cert: { type: 'string' },
    key: { type: 'string' },
    'client-ca': { type: 'string' },
    'backend-ca': { type: 'string' },
    resumption: { type: 'string' },
    member: { type: 'string', multiple: true },
    'farm-listen': { type: 'string' },
    'farm-name': { type: 'string' },
    'farm-advertise': { type: 'string' },
    transport: { type: 'string' },
    'trusted-proxy': { type: 'string', multiple: true },
    'proxy-protocol': { type: 'string', multiple: true },
    'secret-file': { type: 'string' },
    admin: { type: 'string' },
    workers: { type: 'string' },
    'log-level': { type: 'string' },
  })
  for (const name of siteFlags) {
    if (flags.config !== undefined && flags[name] !== undefined) {
      throw badFlag(`--${name} and --config exclude each other: put it into the file`)
    }
  }
  if (flags.config === undefined && flags.backend === undefined) {
    throw badFlag('needs --backend URL, or --config FILE')
  }
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    throw badFlag('--cert and --key belong together')
  }
  return {
    config: flags.config,
    listen: read('--listen', '[HOST:]PORT', flags.listen, readAddress),
    backends: readAll('--backend', 'http://HOST[:PORT]', flags.backend, readBackend),
    cert: flags.cert,
    key: flags.key,
    clientCa: flags['client-ca'],
    backendCa: flags['backend-ca'],
    resumption: read(
      '--resumption',
      resumptionModes.join(', '),
      flags.resumption,
      readMode,
    ),
    farm: {
      members: readAll('--member', 'HOST[:PORT]', flags.member, readMember),
      listen: read('--farm-listen', '[HOST:]PORT', flags['farm-listen'], readAddress),
      name: read(
        '--farm-name',
        '1 to 64 letters, digits, dots, dashes',
        flags['farm-name'],
        text => (farmName.test(text) ? text : undefined),
      ),
      advertise: read(
        '--farm-advertise',
        'a host name or an IP address',
        flags['farm-advertise'],
        readHost,
      ),
      transport: read(
        '--transport',
        farmWords.transport.join(', '),
        flags.transport,
        text => farmWords.transport.find(transport => transport === text),
      ),
    },
    trustedProxies: readAll(
      '--trusted-proxy',
      'an IP address or a subnet such as 10.0.0.0/8',
      flags['trusted-proxy'],
      readSubnet,
    ),
    proxyProtocol: readAll(
      '--proxy-protocol',
      'an IP address or a subnet such as 10.0.0.0/8',
      flags['proxy-protocol'],
      readSubnet,
    ),
    secretFile: flags['secret-file'],
    admin: read('--admin', '[HOST:]PORT', flags.admin, readAddress),
    workers: read('--workers', 'a whole number from 1 to 1024', flags.workers, text => {
      const count = Number(text)
      return isWhole(count) && count >= 1 && count <= 1024 ? count : undefined
    }),
    logLevel: read('--log-level', logLevels.join(', '), flags['log-level'], text =>
      logLevels.find(level => level === text),
    ),
  }
}

function read<T>(
  flag: string,
  expected: string,
  text: string | undefined,
  reader: (text: string) => T | undefined,
): T | undefined {
  if (text === undefined) return undefined
  const value = reader(text)
  if (value === undefined) throw wrong(flag, expected, text)
  return value
}

function readAll<T>(
  flag: string,
  expected: string,
  texts: string[] | undefined,
  reader: (text: string) => T | undefined,
): T[] {
  return listOf(texts).map(text => {
    const value = reader(text)
    if (value === undefined) throw wrong(flag, expected, text)
    return value
  })
}

function wrong(flag: string, expected: string, text: string) {
  return badFlag(`${flag}: expected ${expected}, got ${shown(text)}`)
}
