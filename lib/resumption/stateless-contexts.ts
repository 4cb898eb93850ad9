import { EventEmitter } from 'node:events'
import type { SecureContext, TLSSocket } from 'node:tls'
import type { Log } from '../log.ts'
import type { Policy } from './policy.ts'
import {
  type InstalledTicketKeys,
  installTicketKeys,
  type TicketKeys,
} from './ticket-install.ts'

export interface StatelessOptions {
  readonly keys: TicketKeys
  readonly log: Log
  /** A new context with the settings that the server has now, and with session tickets. */
  readonly makeContext: () => SecureContext
}

/**
 * The contexts in which a server hands out stateless tickets: one for each policy, and each
 * with ticket keys of its own. A ticket made under one policy is noise under any other, so
 * that what can't be looked up before the handshake can't be carried across either.
 */
export class StatelessContexts {
  readonly #options: StatelessOptions
  readonly #byPolicy = new Map<string, PolicyContext>()

  constructor(options: StatelessOptions) {
    this.#options = options
  }

  /** The context that a connection must begin with. */
  of(policy: Policy): SecureContext {
    return this.#made(policy).secureContext
  }

  /** A handshake in the context of this policy has ended well. */
  finished(policy: Policy, socket: TLSSocket): void {
    this.#byPolicy.get(scopeOf(policy))?.emit('secureConnection', socket)
  }

  /** The server has new settings: contexts are made anew as they are asked for. */
  clear(): void {
    for (const context of this.#byPolicy.values()) context.installed?.uninstall()
    this.#byPolicy.clear()
  }

  #made(policy: Policy): PolicyContext {
    const scope = scopeOf(policy)
    const known = this.#byPolicy.get(scope)
    if (known !== undefined) return known
    if (this.#byPolicy.size >= mostPolicies) this.clear()
    const { keys, log, makeContext } = this.#options
    const made = new PolicyContext(makeContext())
    made.installed = installTicketKeys(made.asServer, keys, log, { scope: () => scope })
    this.#byPolicy.set(scope, made)
    return made
  }
}

/** `policyOf` may tell a different text for each name; contexts are not made without end. */
const mostPolicies = 1_000

/** A context with the few members of a server that installing ticket keys needs. */
class PolicyContext extends EventEmitter {
  readonly secureContext: SecureContext
  installed: InstalledTicketKeys | undefined

  constructor(secureContext: SecureContext) {
    super()
    this.secureContext = secureContext
  }

  get asServer(): Parameters<typeof installTicketKeys>[0] {
    return this as unknown as Parameters<typeof installTicketKeys>[0]
  }

  get _sharedCreds(): SecureContext {
    return this.secureContext
  }

  getTicketKeys(): Buffer {
    return this.#native.getTicketKeys()
  }

  setTicketKeys(keys: Buffer): void {
    this.#native.setTicketKeys(keys)
  }

  get #native(): NativeContext {
    return this.secureContext.context as NativeContext
  }
}

interface NativeContext {
  getTicketKeys(): Buffer
  setTicketKeys(keys: Buffer): void
}

function scopeOf(policy: Policy): string {
  return policy.hash.toString('hex')
}
