import { z } from 'zod'
import type { ListenAddress } from '../../address.ts'
import type { BearerOptions } from '../../auth/method/bearer.ts'
import type { ForwardAuthOptions } from '../../auth/method/forward-auth.ts'
import { farmName, farmNumbers, farmWords } from '../../member/options.ts'
import {
  isWithin,
  type NumberRule,
  type NumberRules,
  rangeText,
} from '../../number-options.ts'
import { limitRules } from '../../proxy/limits.ts'
import type { Limits, ProxyOptions, Site } from '../../proxy/options.ts'
import { readMode, resumptionModes } from '../../resumption/session/policy.ts'
import {
  type FarmSettings,
  logLevels,
  type ServeSettings,
  type SiteAuthSettings,
} from '../../serve/settings.ts'
import {
  isWhole,
  readAddress,
  readBackend,
  readBytes,
  readDuration,
  readHost,
  readMember,
  readServerName,
  readSubnet,
  readUrl,
} from '../quantity.ts'
import { readSecret } from '../secret.ts'

/**
 * The config file. Each leaf is read by a function that answers undefined for what it can't
 * read; the text beside it is what the operator is told.
 */
const units = {
  ms: ['milliseconds or a time such as 500ms, 30s, 1h', readDuration],
  bytes: ['bytes or a size such as 16KiB, 256MiB', readBytes],
  count: ['a whole number', whole],
  percent: ['a percentage', whole],
} as const
const duration = leaf(...units.ms)
const file = leaf('the path of a file', value =>
  typeof value === 'string' && value !== '' && !value.includes('\n') ? value : undefined,
)
const address = leaf('[HOST:]PORT', readAddress)
const adminName = leaf('a host name', readHost)
const tlsVersion = oneOf('TLSv1.2', 'TLSv1.3')

const text = leaf('a text', value =>
  typeof value === 'string' && value !== '' && !/[\r\n]/.test(value) ? value : undefined,
)
const texts = z.array(text).min(1)
const yesNo = leaf('true or false', value =>
  typeof value === 'boolean' ? value : undefined,
)
const url = leaf('an http or https URL', readUrl)
const count = leaf('a whole number from 1', positive)

const auth = z.strictObject({
  realm: text.optional(),
  required: yesNo.optional(),
  ttl: duration.optional(),
  sign: yesNo.optional(),
  basic: z.strictObject({ htpasswd: file }).optional(),
  bearer: z
    .strictObject({
      issuer: text,
      audience: text,
      algorithms: texts,
      jwks: url.optional(),
      key: file.optional(),
      subject: text.optional(),
      claims: texts.optional(),
    })
    .optional(),
  certificate: oneOf('cn', 'email', 'uri', 'dns').optional(),
  forward: z
    .strictObject({
      url,
      subjectHeader: text.optional(),
      requestHeaders: texts.optional(),
      timeout: duration.optional(),
      ca: file.optional(),
      remember: yesNo.optional(),
      ttl: duration.optional(),
    })
    .optional(),
  form: z
    .strictObject({
      htpasswd: file,
      path: text.optional(),
      logoutPath: text.optional(),
      cookie: text.optional(),
    })
    .optional(),
  attempts: z
    .strictObject({
      perUser: count.optional(),
      perAddress: count.optional(),
      window: duration.optional(),
    })
    .optional(),
  maxChecks: count.optional(),
  trustedOrigins: texts.optional(),
  rememberBy: oneOf('credentials', 'tls-session').optional(),
  logoutPath: text.optional(),
})

const site = z.strictObject({
  names: z.array(leaf('a host name, or *. and a host name', readServerName)).optional(),
  cert: file,
  key: file,
  clientCa: file.optional(),
  clientCertificate: oneOf('off', 'optional', 'required').optional(),
  backends: z
    .array(leaf('http://HOST[:PORT] or https://HOST[:PORT]', readBackend))
    .min(1),
  backendCa: file.optional(),
  resumption: leaf(listed(resumptionModes), readMode).optional(),
  auth: auth.optional(),
})

const limits = z.strictObject(numbersOf(limitRules))

const farm = z.strictObject({
  name: leaf('1 to 64 letters, digits, dots, dashes', value =>
    typeof value === 'string' && farmName.test(value) ? value : undefined,
  ).optional(),
  secret: leaf(
    '32 bytes as base64url, base64 or hex (handfast secret)',
    readSecret,
  ).optional(),
  secretFile: file.optional(),
  members: z.array(leaf('HOST[:PORT]', readMember)).optional(),
  listen: address.optional(),
  advertise: leaf('a host name or an IP address', readHost).optional(),
  ...numbersOf(farmNumbers),
  ...wordsOf(farmWords),
} satisfies Record<keyof FarmConfig, z.ZodType>)

const configFile = z.strictObject({
  listen: address.optional(),
  sites: z.array(site).min(1),
  farm: farm.optional(),
  admin: z
    .strictObject({ listen: address, names: z.array(adminName).optional() })
    .optional(),
  limits: limits.optional(),
  tls: z
    .strictObject({
      minVersion: tlsVersion.optional(),
      maxVersion: tlsVersion.optional(),
    })
    .optional(),
  trustedProxies: z
    .array(leaf('an IP address or a subnet such as 10.0.0.0/8', readSubnet))
    .optional(),
  workers: count.optional(),
  logLevel: oneOf(...logLevels).optional(),
})

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
  readonly workers?: number | undefined
  readonly logLevel?: ServeSettings['logLevel'] | undefined
}

/** As `Site`, with the paths of files in place of what is in them. */
export interface SiteConfig {
  readonly names?: readonly string[] | undefined
  readonly cert: string
  readonly key: string
  readonly clientCa?: string | undefined
  readonly clientCertificate?: Site['clientCertificate']
  readonly backends: readonly string[]
  readonly backendCa?: string | undefined
  readonly resumption?: Site['resumption']
  readonly auth?: AuthConfig | undefined
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

export interface FarmConfig extends Partial<Omit<FarmSettings, 'members' | 'name'>> {
  readonly name?: string | undefined
  readonly secretFile?: string | undefined
  readonly members?: readonly string[] | undefined
}

export type Path = readonly (string | number)[]

/** What is wrong at a path of the file. */
export interface Fault {
  readonly path: Path
  readonly expected: string
  /** The path itself is unknown: its value says nothing. */
  readonly unknownKey: boolean
}

/** The config, or the first thing that is wrong with it. */
export function checkConfig(document: unknown): ConfigFile | Fault {
  const result = configFile.safeParse(document ?? {})
  if (result.success) return result.data
  const issue = result.error.issues[0]
  if (issue === undefined) return { path: [], expected: 'a config', unknownKey: false }
  const path = issue.path.filter(step => typeof step !== 'symbol')
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(schemaAt(path)).join(', ')
    return {
      path: [...path, issue.keys[0] ?? ''],
      expected: `one of ${known}`,
      unknownKey: true,
    }
  }
  return { path, expected: expectedOf(issue), unknownKey: false }
}

function expectedOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'too_small') return 'at least one entry'
  if (issue.code !== 'invalid_type') return issue.message
  return issue.expected === 'array' ? 'a list' : 'a mapping'
}

/** The keys that a mapping of the file may have. */
function schemaAt(path: Path): object {
  let at: z.ZodType = configFile
  for (const step of path) {
    if (at instanceof z.ZodObject) at = at.shape[step] as z.ZodType
    else if (at instanceof z.ZodArray) at = at.element as z.ZodType
    if (at instanceof z.ZodOptional) at = at.unwrap() as z.ZodType
  }
  return at instanceof z.ZodObject ? at.shape : {}
}

function leaf<T>(expected: string, read: (value: unknown) => T | undefined) {
  return z.unknown().transform((value, context): T => {
    const result = read(value)
    if (result !== undefined) return result
    context.addIssue({ code: 'custom', message: expected })
    return z.NEVER
  })
}

function numberOf(rule: NumberRule) {
  const [what, read] = units[rule.unit]
  const separator = what.includes(',') ? ',' : ''
  return leaf(`${what}${separator} ${rangeText(rule)}`, value => {
    const number = read(value)
    return isWithin(rule, number) ? number : undefined
  }).optional()
}

/** A mapping's numbers, each with its unit and within its range. */
function numbersOf<Name extends string>(rules: NumberRules<Name>) {
  const entries = Object.entries<NumberRule>(rules)
  return Object.fromEntries(
    entries.map(([name, rule]) => [name, numberOf(rule)]),
  ) as Record<Name, ReturnType<typeof numberOf>>
}

/** The same for what is one of a few words. */
function wordsOf<const Options extends { [name: string]: readonly string[] }>(
  options: Options,
) {
  const entries = Object.entries(options)
  return Object.fromEntries(
    entries.map(([name, words]) => [name, oneOf(...words).optional()]),
  ) as {
    [Name in keyof Options]: z.ZodOptional<
      ReturnType<typeof oneOf<Options[Name][number]>>
    >
  }
}

function oneOf<const T extends string>(...words: readonly T[]) {
  return leaf(listed(words), value => words.find(word => word === value))
}

function listed(words: readonly string[]): string {
  return words.join(', ').replace(/, ([^,]*)$/, ' or $1')
}

function whole(value: unknown): number | undefined {
  return isWhole(value) ? value : undefined
}

function positive(value: unknown): number | undefined {
  return isWhole(value) && value > 0 ? value : undefined
}
