import { type Cipher, createCipheriv, hkdfSync, randomFillSync } from 'node:crypto'
import { BoundedMap } from '../../bounded-map.ts'
import { HandfastError } from '../../errors.ts'

/**
 * One key of the ring: 32 random bytes, held in memory only. All that a ticket needs is drawn
 * from it by HKDF-SHA256 (RFC 5869):
 *
 *      master 32 B -+- 'name'  -> AES-128, which hides what the names of tickets say
 *                   +- a scope -> HMAC 32 B | AES 16 B, with which OpenSSL seals
 *
 * A scope is a policy and server name: a ticket from another one is noise to TLS.
 */
export class EpochKey {
  readonly #master: Buffer
  readonly #scoped = new BoundedMap<string, SealKeys>(mostScopes, wipe)
  #names: Cipher | undefined
  #ivs = nothing
  #masks = nothing
  #left = 0

  /** Takes the buffer over: it is zeroed in `destroy`. */
  constructor(master: Buffer) {
    if (master.length !== masterLength || master.every(byte => byte === 0)) {
      throw new HandfastError('ERR_HANDFAST_USAGE', 'a ticket key needs 32 random bytes')
    }
    this.#master = master
    const key = Buffer.from(hkdfSync('sha256', master, '', purpose.name, nameKeyLength))
    this.#names = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
    key.fill(0)
  }

  get destroyed(): boolean {
    return this.#names === undefined
  }

  for(scope: string): SealKeys {
    const made = this.#scoped.get(scope)
    if (made !== undefined) return made
    this.#cipher()
    const bytes = Buffer.from(
      hkdfSync('sha256', this.#master, '', purpose.seal + scope, hmacLength + aesLength),
    )
    const keys = { hmac: bytes.subarray(0, hmacLength), aes: bytes.subarray(hmacLength) }
    this.#scoped.set(scope, keys)
    return keys
  }

  /** What hides the name of the ticket with this IV: 16 bytes. */
  mask(iv: Buffer): Buffer {
    return this.#cipher().update(iv)
  }

  /**
   * A new IV and its mask. The bytes are the caller's for good: between our answer and Node's
   * reading it other tickets may be sealed. They are drawn many at a time, since one call into
   * OpenSSL costs as much as the encryption of hundreds.
   */
  draw(): { readonly iv: Buffer; readonly mask: Buffer } {
    if (this.#left === 0) {
      this.#ivs = randomFillSync(Buffer.allocUnsafeSlow(ivLength * stock))
      this.#masks = this.#cipher().update(this.#ivs)
      this.#left = stock
    }
    this.#left -= 1
    const at = this.#left * ivLength
    const end = at + ivLength
    return { iv: this.#ivs.subarray(at, end), mask: this.#masks.subarray(at, end) }
  }

  /** Nothing can be sealed or opened with it from now on. */
  destroy(): void {
    this.#names = undefined
    this.#master.fill(0)
    // Those that were handed out are names of tickets by now.
    this.#masks.fill(0, 0, ivLength * this.#left)
    this.#left = 0
    for (const keys of this.#scoped.values()) wipe(keys)
    this.#scoped.clear()
  }

  #cipher(): Cipher {
    if (this.#names !== undefined) return this.#names
    throw new HandfastError('ERR_HANDFAST_CLOSED', 'the ticket key is no more')
  }
}

/** What OpenSSL seals a ticket with in Node: AES-128-CBC and HMAC-SHA256 (RFC 5077, 4). */
export interface SealKeys {
  readonly hmac: Buffer
  readonly aes: Buffer
}

export const masterLength = 32
export const hmacLength = 32
export const aesLength = 16
export const ivLength = 16
const nameKeyLength = 16
const purpose = {
  name: 'handfast sealed ticket 1 name',
  seal: 'handfast sealed ticket 1 scope ',
} as const
const nothing = Buffer.alloc(0)
const stock = 256
/** Deriving one again takes microseconds. */
const mostScopes = 1_024

/**
 * In the next turn: Node may be about to read them. It runs the tick queue between our answer and
 * its reading, and a ticket sealed with zeros would be open to anybody.
 */
function wipe({ hmac, aes }: SealKeys): void {
  setImmediate(() => {
    hmac.fill(0)
    aes.fill(0)
  })
}
