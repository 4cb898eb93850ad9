import { createSecretKey, type KeyObject } from 'node:crypto'
import { ivBytes, nextSecret, trafficKeys } from './key-schedule.ts'
import type { SuiteName } from './suite.ts'

/**
 * The keys of one direction, and the number of its next record under them. Numbers are exact
 * integers up to 2^53.
 */
export class RecordKeys {
  readonly suite: SuiteName
  #secret: Buffer
  #key: KeyObject
  #iv: Buffer
  readonly #nonce: Buffer = Buffer.alloc(ivBytes)
  number: number

  /** `secret` is taken over, and wiped in the end. */
  constructor(suite: SuiteName, secret: Buffer, number: number) {
    this.suite = suite
    this.number = number
    this.#secret = secret
    ;[this.#key, this.#iv] = keysOf(suite, secret)
  }

  get secret(): Buffer {
    return this.#secret
  }

  /** Another object after each update. */
  get key(): KeyObject {
    return this.#key
  }

  /**
   * Of the next record: its number, padded at the left, xor the iv (RFC 8446 5.3). One buffer
   * for all, which whoever seals with it copies.
   */
  get nonce(): Buffer {
    const nonce = this.#nonce
    this.#iv.copy(nonce)
    const low = this.number % 2 ** 32
    xorAt(nonce, ivBytes - 4, low)
    xorAt(nonce, ivBytes - 8, (this.number - low) / 2 ** 32)
    return nonce
  }

  /** After a KeyUpdate (RFC 8446 7.2). */
  update(): void {
    const next = nextSecret(this.suite, this.#secret)
    this.wipe()
    this.#secret = next
    this.number = 0
    ;[this.#key, this.#iv] = keysOf(this.suite, next)
  }

  wipe(): void {
    this.#secret.fill(0)
    this.#iv.fill(0)
    this.#nonce.fill(0)
  }
}

/** The key is in OpenSSL's hands only, which wipes it. */
function keysOf(suite: SuiteName, secret: Buffer): [KeyObject, Buffer] {
  const { key, iv } = trafficKeys(suite, secret)
  const object = createSecretKey(key)
  key.fill(0)
  return [object, iv]
}

function xorAt(bytes: Buffer, at: number, value: number): void {
  if (value !== 0) bytes.writeUInt32BE((bytes.readUInt32BE(at) ^ value) >>> 0, at)
}
