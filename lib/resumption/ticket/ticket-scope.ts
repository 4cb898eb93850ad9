import { createHash } from 'node:crypto'
import { BoundedMap } from '../../bounded-map.ts'
import type { Policy } from '../session/policy.ts'

/** What a ticket is bound to: the policy and server name that it was made under. */
export interface TicketScope {
  readonly text: string
  /** One byte of its digest stands in the name of the ticket. */
  readonly tag: number
}

/** Scopes, so that no handshake need spell one. A policy keeps its hash until it changes. */
export class TicketScopes {
  readonly #known = new WeakMap<Buffer, Map<string, TicketScope>>()

  of({ hash }: Policy, serverName: string): TicketScope {
    let names = this.#known.get(hash)
    if (names === undefined) {
      names = new BoundedMap(mostNames)
      this.#known.set(hash, names)
    }
    const known = names.get(serverName)
    if (known !== undefined) return known
    const text = `${hash.toString('hex')} ${serverName}`
    const scope = { text, tag: createHash('sha256').update(text).digest().readUInt8(0) }
    names.set(serverName, scope)
    return scope
  }
}

/** Clients can send any name. */
const mostNames = 1_024
