import type { KeyObject } from 'node:crypto'
import { type AeadSealer, type Libcrypto, libcrypto } from '../native/libcrypto.ts'
import {
  contentType,
  headerBytes,
  recordOverhead,
  tagBytes,
  typeBytes,
} from './layout.ts'
import { NodeSealer } from './node-sealer.ts'
import { RecordKeys } from './record-keys.ts'
import { type SuiteName, suites } from './suite.ts'

/**
 * Seals the records of one direction, in their order. What is in a record may come in pieces:
 * its length is said first, and what there is can be sent before the rest is there.
 */
export class RecordSealer {
  readonly keys: RecordKeys
  readonly #library: Libcrypto | 'node:crypto'
  #sealer: AeadSealer
  #key: KeyObject
  #missing = 0

  /** `secret` is taken over. `number`: of the next record. `library`: what seals. */
  constructor(
    suite: SuiteName,
    secret: Buffer,
    number: number,
    library: Libcrypto | 'node:crypto' = libcrypto() ?? 'node:crypto',
  ) {
    this.keys = new RecordKeys(suite, secret, number)
    this.#library = library
    this.#key = this.keys.key
    this.#sealer = this.#makeSealer()
  }

  /** Bytes that the record under way still needs; 0 when none is. */
  get missing(): number {
    return this.#missing
  }

  /** Begins a record of `length` bytes of application data, from 1. Returns the end in `out`. */
  begin(length: number, out: Buffer, at: number): number {
    return this.#begin(length, out, at)
  }

  /** The next bytes of it, `missing` at most; the last ones end it. */
  add(content: Buffer, out: Buffer, at: number): number {
    const end = this.#add(content, out, at)
    return this.#missing === 0 ? this.#end(dataType, out, end) : end
  }

  /** A record of any type. Not while one is under way. */
  seal(type: number, content: Buffer): Buffer {
    const out = Buffer.allocUnsafe(content.length + recordOverhead)
    const at = this.#begin(content.length, out, 0)
    this.#end(Buffer.from([type]), out, this.#add(content, out, at))
    return out
  }

  wipe(): void {
    this.keys.wipe()
    this.#sealer.wipe()
  }

  #begin(length: number, out: Buffer, at: number): number {
    const sealed = length + typeBytes + tagBytes
    out[at] = contentType.applicationData
    out[at + 1] = 3
    out[at + 2] = 3
    out[at + 3] = sealed >> 8
    out[at + 4] = sealed & 0xff
    this.#renew()
    this.#sealer.begin(this.keys.nonce, out.subarray(at, at + headerBytes))
    this.#missing = length
    this.keys.number += 1
    return at + headerBytes
  }

  #add(content: Buffer, out: Buffer, at: number): number {
    this.#missing -= content.length
    this.#sealer.add(content, out, at)
    return at + content.length
  }

  #end(type: Buffer, out: Buffer, at: number): number {
    this.#sealer.add(type, out, at)
    this.#sealer.end(out, at + typeBytes)
    return at + typeBytes + tagBytes
  }

  /** After an update of the keys. */
  #renew(): void {
    if (this.#key === this.keys.key) return
    this.#sealer.wipe()
    this.#key = this.keys.key
    this.#sealer = this.#makeSealer()
  }

  #makeSealer(): AeadSealer {
    const { cipher } = suites[this.keys.suite]
    if (this.#library === 'node:crypto') return new NodeSealer(cipher, this.#key)
    const key = this.#key.export()
    try {
      return this.#library.sealer(cipher, key)
    } finally {
      key.fill(0)
    }
  }
}

const dataType = Buffer.from([contentType.applicationData])
