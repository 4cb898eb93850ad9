import { createHash } from 'node:crypto'
import type { SecureContext, SecureContextOptions, Server } from 'node:tls'
import { BoundedMap } from '../../bounded-map.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { shown } from '../../shown.ts'
import type { ClientHello } from '../hello/client-hello.ts'
import { digestLength } from './session-record.ts'

/**
 * How the sessions of a server name resume.
 *
 * - `auto`: TLS 1.2 as with `stateful`, TLS 1.3 as with `sealed`; but `stateful` on servers that
 *   ask for client certificates or have SSL_OP_NO_TICKET set by their owner, and wherever a sealed
 *   ticket can't be had.
 * - `stateful`: session IDs, and tickets that name a session in the farm's table.
 * - `sealed`: as `auto`, for names that ask for client certificates, too: TLS 1.3 by tickets that
 *   carry the session. `stateless` is what it was called.
 * - `off`: not at all.
 */
export const resumptionModes = ['auto', 'stateful', 'sealed', 'off'] as const
export type ResumptionMode = (typeof resumptionModes)[number] | 'stateless'

/** Undefined when it is none. */
export function readMode(text: unknown): ResumptionMode | undefined {
  if (text === 'stateless') return text
  return resumptionModes.find(mode => mode === text)
}

export interface Policy {
  readonly mode: 'stateful' | 'sealed' | 'off'
  /** Clients are asked for certificates. */
  readonly asksCertificate: boolean
  /** Sessions resume only under the hash that they were minted under. */
  readonly hash: Buffer
  /**
   * The same for sessions in which the client showed a certificate. It covers the authorities
   * and revocation lists on a server that asks for none at first, too: TLS 1.2 can ask later,
   * by renegotiation. Undefined where these can't be seen: then no such session is kept.
   */
  readonly certificateHash: Buffer | undefined
  /** Clients without a good certificate are refused, so their sessions must not be kept. */
  readonly clientRequired: boolean
}

export interface PolicyOptions {
  /** For all names, or name by name. Default `auto`. Names come as clients write them. */
  readonly resumption?: ResumptionMode | ((serverName: string) => ResumptionMode)
  /**
   * Names the policy of a server name in any text that changes when the policy does. Needed
   * where handfast can't see the policy: a server with its own SNICallback, or contexts that
   * were made beforehand, that asks for client certificates.
   */
  readonly policyOf?: (serverName: string) => string
  /**
   * What `policyOf` tells is all that counts. For a server whose SNICallback has a context for
   * every name: its own certificate and authorities, which the policy holds otherwise, are
   * those of no name or of one, and their change would end the sessions of all. Default false.
   */
  readonly policyIsWhole?: boolean
}

/** Of a name that has no policy we know of: full handshakes, of which nothing is kept. */
export const noResumption: Policy = {
  mode: 'off',
  asksCertificate: false,
  hash: Buffer.alloc(digestLength),
  certificateHash: undefined,
  clientRequired: false,
}

/**
 * What each name of a server asks of its clients, as a hash that is equal on every member with
 * the same settings: certificate, client-CA set, CRL, requestCert, rejectUnauthorized, ALPN.
 * Sessions bound to it can't be carried from a lax name to a strict one (CVE-2025-23419 and
 * its kin), nor past a change of settings (CVE-2025-68121).
 */
export class ServerPolicies {
  readonly #server: TlsServer
  readonly #options: PolicyOptions
  readonly #log: Log
  readonly #ownTickets: () => boolean
  #default: ContextFacts
  #named: { readonly pattern: RegExp; readonly facts: ContextFacts }[] = []
  readonly #hashes = new BoundedMap<string, Hashes>(mostHashes)
  /** Of the names seen last, as the client wrote them. */
  readonly #known = new BoundedMap<string, KnownPolicy>(mostKnown)
  #toldOldName = false

  /** `ownTickets`: whether the owner of the server allows tickets that hold sessions, now. */
  constructor(
    server: Server,
    options: PolicyOptions,
    log: Log,
    ownTickets: () => boolean = () => true,
  ) {
    this.#server = server as TlsServer
    this.#options = options
    this.#log = log
    this.#ownTickets = ownTickets
    this.#default = factsOf(this.#server)
    for (const [pattern, context] of this.#server._contexts) {
      this.#named.push({ pattern, facts: factsOfContext({ context }) })
    }
    if (typeof options.resumption !== 'function') this.#checkedMode(options.resumption)
    this.#checkVisible()
  }

  /** The default context changed; the server already has the new settings. */
  replaceDefault(): void {
    this.#default = factsOf(this.#server)
    this.#forget()
  }

  /** A context was added; the server already has it. */
  add(context: SecureContextOptions | SecureContext): void {
    const pattern = this.#server._contexts.at(-1)?.[0]
    if (pattern === undefined) return
    const facts = isSecureContext(context) ? factsOfContext(context) : factsOf(context)
    this.#named.push({ pattern, facts })
    this.#forget()
    this.#checkVisible()
  }

  /**
   * What the name in a hello asks. Nothing is kept of a connection whose name we do not know:
   * OpenSSL may read what we did not (a hello in more pieces, or longer), and make the session
   * under a name that is not the default.
   */
  of(hello: ClientHello | undefined): Policy {
    if (hello === undefined) return noResumption
    try {
      // Written as the client did: so does Node look for its context.
      return this.#policyOf(hello.sentName)
    } catch (error) {
      const { serverName } = hello
      this.#log.error({ err: error, serverName }, 'the name has no policy')
      return noResumption
    }
  }

  /** Throws what the functions in the options throw. */
  #policyOf(serverName: string): Policy {
    const { resumption, policyOf } = this.#options
    const given = typeof resumption === 'function' ? resumption(serverName) : resumption
    const told = policyOf?.(serverName) ?? ''
    const { requestCert, rejectUnauthorized, ALPNProtocols } = this.#server
    const known = this.#known.get(serverName)
    if (
      known !== undefined &&
      known.given === given &&
      known.told === told &&
      known.requestCert === requestCert &&
      known.rejectUnauthorized === rejectUnauthorized &&
      known.ALPNProtocols === ALPNProtocols
    ) {
      return known.policy
    }
    const policy = this.#decide(serverName, given, told)
    this.#known.set(serverName, {
      given,
      told,
      requestCert,
      rejectUnauthorized,
      ALPNProtocols,
      policy,
    })
    return policy
  }

  #decide(serverName: string, given: ResumptionMode | undefined, told: string): Policy {
    const { policyOf, policyIsWhole } = this.#options
    const mode = this.#modeOf(given)
    const { requestCert, rejectUnauthorized, ALPNProtocols } = this.#server
    const asksCertificate = requestCert === true
    const clientRequired = requestCert && rejectUnauthorized
    if (policyIsWhole === true && policyOf !== undefined) {
      const hash = hashOf(['whole', ALPNProtocols ?? '', told])
      return { mode, asksCertificate, hash, certificateHash: hash, clientRequired }
    }
    const facts = this.#factsOf(serverName)
    const name = `${requestCert}|${rejectUnauthorized}|${ALPNProtocols?.toString('latin1')}|${facts.id}|${told}`
    let hashes = this.#hashes.get(name)
    if (hashes === undefined) {
      hashes = this.#hashesOf(facts, told)
      this.#hashes.set(name, hashes)
    }
    // The owner began to ask for certificates after attach, of a name that hides whose.
    if (requestCert && hashes.certificateHash === undefined) {
      return { ...noResumption, clientRequired }
    }
    return { mode, asksCertificate, ...hashes, clientRequired }
  }

  #modeOf(given: ResumptionMode | undefined): Policy['mode'] {
    const mode = this.#checkedMode(given)
    if (mode !== 'auto') return mode
    return this.#server.requestCert || !this.#ownTickets() ? 'stateful' : 'sealed'
  }

  #checkedMode(given: ResumptionMode | undefined): Policy['mode'] | 'auto' {
    const mode = readMode(given ?? 'auto')
    if (mode === 'stateless') {
      if (!this.#toldOldName) {
        this.#log.warn({}, "resumption: 'stateless' is called 'sealed' now")
      }
      this.#toldOldName = true
      return 'sealed'
    }
    if (mode !== undefined) return mode
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      `resumption must be 'auto', 'stateful', 'sealed' or 'off', got ${shown(given)}`,
    )
  }

  #hashesOf(facts: ContextFacts, told: string): Hashes {
    const { requestCert, rejectUnauthorized, ALPNProtocols } = this.#server
    const over = (withClients: boolean, first: string) =>
      hashOf([
        first,
        rejectUnauthorized ? 'reject' : '',
        ALPNProtocols ?? '',
        facts.certificate,
        withClients ? facts.authorities : '',
        withClients ? facts.revocations : '',
        told,
      ])
    const hash = over(requestCert, requestCert ? 'request' : '')
    const visible = facts.visible && !hasSniCallback(this.#server)
    if (!visible && this.#options.policyOf === undefined)
      return { hash, certificateHash: undefined }
    return { hash, certificateHash: requestCert ? hash : over(true, 'later') }
  }

  /** The last match wins, as in Node's own SNI selection. */
  #factsOf(serverName: string): ContextFacts {
    if (serverName !== '') {
      const found = this.#named.findLast(({ pattern }) => pattern.test(serverName))
      if (found !== undefined) return found.facts
    }
    return this.#default
  }

  #forget(): void {
    this.#hashes.clear()
    this.#known.clear()
  }

  #checkVisible(): void {
    if (!this.#server.requestCert || this.#options.policyOf !== undefined) return
    const hidden = this.#named.some(({ facts }) => !facts.visible)
    if (!hidden && !hasSniCallback(this.#server)) return
    throw new HandfastError(
      'ERR_HANDFAST_USAGE',
      'the server asks for client certificates, and handfast cannot see which authorities ' +
        'each name trusts: attach before addContext, add contexts by their options, or pass ' +
        'policyOf to attach',
    )
  }
}

/** `policyOf` may tell a different text for each name; the cache of hashes stays small. */
const mostHashes = 1_000
/** Clients can send any name. */
const mostKnown = 1_000

/** A policy, and all that it was made of but for the settings of contexts. */
interface KnownPolicy extends Pick<TlsServer, 'requestCert' | 'rejectUnauthorized'> {
  readonly given: ResumptionMode | undefined
  readonly told: string
  readonly ALPNProtocols: Buffer | undefined
  readonly policy: Policy
}

type Hashes = Pick<Policy, 'hash' | 'certificateHash'>

/** The settings of a context that its sessions depend on. */
interface ContextFacts {
  readonly id: number
  readonly certificate: Buffer | string
  readonly authorities: string
  readonly revocations: string
  /** False when the authorities could not be seen. */
  readonly visible: boolean
}

/** Node's own record of a server's settings; stable and readable, if not documented. */
interface TlsServer extends Server {
  readonly _contexts: [RegExp, NativeContext][]
  readonly _sharedCreds: SecureContext
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  readonly ALPNProtocols?: Buffer
  readonly cert?: SecureContextOptions['cert']
  readonly ca?: SecureContextOptions['ca']
  readonly pfx?: SecureContextOptions['pfx']
  readonly crl?: SecureContextOptions['crl']
  readonly allowPartialTrustChain?: boolean
}

interface NativeContext {
  getCertificate?(): Buffer | null
}

let factsMade = 0

function factsOf(options: SecureContextOptions | TlsServer): ContextFacts {
  const shared = '_sharedCreds' in options ? options._sharedCreds : undefined
  const own = options.cert === undefined ? shared : undefined
  const partial = options.allowPartialTrustChain === true ? 'partial' : ''
  return {
    id: factsMade++,
    certificate: own === undefined ? ownCertificate(options) : certificateOf(own),
    // Authorities in a PFX are trusted too.
    authorities: `${pem(options.ca)}|${digests(options.pfx)}|${partial}`,
    revocations: pem(options.crl),
    visible: true,
  }
}

function ownCertificate({ cert, pfx }: SecureContextOptions): string {
  return cert === undefined ? digests(pfx) : pem(cert)
}

function factsOfContext(context: { context: unknown }): ContextFacts {
  return {
    id: factsMade++,
    certificate: certificateOf(context),
    authorities: '',
    revocations: '',
    visible: false,
  }
}

function certificateOf({ context }: { context: unknown }): Buffer | string {
  return (context as NativeContext).getCertificate?.() ?? ''
}

function isSecureContext(
  context: SecureContextOptions | SecureContext,
): context is SecureContext {
  return 'context' in context
}

/** The text of PEM blocks without white space, so that equal files hash alike on all members. */
function pem(source: unknown): string {
  if (source === undefined || source === null) return ''
  if (Array.isArray(source)) return source.map(pem).join('|')
  const text = ArrayBuffer.isView(source)
    ? Buffer.from(source.buffer, source.byteOffset, source.byteLength).toString()
    : String(source)
  const blocks = text.match(/-----BEGIN [^-]+-----[^-]+/g)
  return (blocks ?? [text]).map(block => block.replace(/\s+/g, '')).join('|')
}

function digests(pfx: SecureContextOptions['pfx']): string {
  const files = pfx === undefined ? [] : Array.isArray(pfx) ? pfx : [pfx]
  return files
    .map(file => (typeof file === 'object' && 'buf' in file ? file.buf : file))
    .map(file => createHash('sha256').update(file).digest('hex'))
    .join('|')
}

/** SHA-256 over the parts, each behind its length so that no two lists run together. */
function hashOf(parts: readonly (Buffer | string)[]): Buffer {
  const hash = createHash('sha256').update('handfast policy 1')
  for (const part of parts) {
    const bytes = Buffer.from(part as string)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    hash.update(length).update(bytes)
  }
  return hash.digest().subarray(0, digestLength)
}

function hasSniCallback(server: TlsServer): boolean {
  return Object.getOwnPropertySymbols(server).some(
    symbol =>
      symbol.description === 'snicallback' &&
      typeof Reflect.get(server, symbol) === 'function',
  )
}
