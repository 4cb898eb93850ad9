import { hkdfSync } from 'node:crypto'
import { HandfastError } from '../../errors.ts'

/**
 * What OpenSSL encrypts tickets with in Node (RFC 5077, 4): AES-128-CBC and HMAC-SHA256, and
 * the name that stands in clear at the front of each ticket.
 *
 *      0        16        32       48
 *      +--------+---------+--------+
 *      | name   | HMAC    | AES    |     also the layout of Node's `ticketKeys` option
 *      +--------+---------+--------+
 */
export interface TicketKey {
  readonly name: Buffer
  readonly hmac: Buffer
  readonly aes: Buffer
  /** All three in a row, for `setTicketKeys`. A view: it is zeroed with the key. */
  readonly bytes: Buffer
}

export const ticketKeyLength = 48
export const ticketNameLength = 16
export const masterLength = 32

/**
 * One key of the ring. What encrypts is derived from it for each scope, which is a policy and
 * server name: a ticket from another scope has a name that nobody knows. Held in memory only.
 */
export class RingKey {
  readonly #master: Buffer
  readonly #scoped = new Map<string, TicketKey>()
  #destroyed = false

  /** Takes the buffer over: it is zeroed in `destroy`. */
  constructor(master: Buffer) {
    if (master.length !== masterLength || master.every(byte => byte === 0)) {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'a ring key needs 32 random bytes')
    }
    this.#master = master
  }

  get destroyed(): boolean {
    return this.#destroyed
  }

  for(scope: string): TicketKey {
    const made = this.#scoped.get(scope)
    if (made !== undefined) return made
    if (this.#destroyed) {
      throw new HandfastError('ERR_HANDFAST_CLOSED', 'the ticket key is no more')
    }
    const derived = hkdfSync('sha256', this.#master, '', purpose + scope, ticketKeyLength)
    const bytes = Buffer.from(derived)
    const key = {
      name: bytes.subarray(0, 16),
      hmac: bytes.subarray(16, 32),
      aes: bytes.subarray(32, 48),
      bytes,
    }
    if (this.#scoped.size >= mostScopes) this.#forgetOldest()
    this.#scoped.set(scope, key)
    return key
  }

  destroy(): void {
    this.#destroyed = true
    this.#master.fill(0)
    for (const { bytes } of this.#scoped.values()) bytes.fill(0)
    this.#scoped.clear()
  }

  #forgetOldest(): void {
    for (const [scope, { bytes }] of this.#scoped) {
      bytes.fill(0)
      this.#scoped.delete(scope)
      return
    }
  }
}

const purpose = 'handfast session ticket 1\0'
/** Deriving one again takes microseconds. */
const mostScopes = 1_024
