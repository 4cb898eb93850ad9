import { type CipherGCM, createCipheriv, type KeyObject } from 'node:crypto'
import type { AeadName, AeadSealer } from '../native/libcrypto.ts'
import { tagBytes } from './layout.ts'

const options = { authTagLength: tagBytes } as const

/** With node:crypto, where OpenSSL can't be called directly. */
export class NodeSealer implements AeadSealer {
  readonly #name: AeadName
  #key: KeyObject | undefined
  #cipher: CipherGCM | undefined

  constructor(name: AeadName, key: KeyObject) {
    this.#name = name
    this.#key = key
  }

  begin(nonce: Buffer, header: Buffer): void {
    if (this.#key === undefined) throw new Error('the key is gone')
    // Node's types name the modes one by one, and they all have the same calls.
    const name = this.#name as 'aes-128-gcm'
    this.#cipher = createCipheriv(name, this.#key, nonce, options)
    this.#cipher.setAAD(header)
  }

  add(content: Buffer, out: Buffer, at: number): void {
    this.#open.update(content).copy(out, at)
  }

  end(out: Buffer, at: number): void {
    const cipher = this.#open
    this.#cipher = undefined
    cipher.final()
    cipher.getAuthTag().copy(out, at)
  }

  /** The key itself is in OpenSSL's hands, which overwrites it. */
  wipe(): void {
    this.#key = undefined
    this.#cipher = undefined
  }

  get #open(): CipherGCM {
    if (this.#cipher === undefined) throw new Error('no message has begun')
    return this.#cipher
  }
}
