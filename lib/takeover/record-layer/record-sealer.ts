import { type CipherGCM, createCipheriv } from 'node:crypto'
import {
  contentType,
  headerBytes,
  recordOverhead,
  tagBytes,
  typeBytes,
} from './layout.ts'
import { RecordKeys } from './record-keys.ts'
import { type SuiteName, suites } from './suite.ts'

/**
 * Seals the records of one direction, in their order. What is in a record may come in pieces:
 * its length is said first, and what there is can be sent before the rest is there.
 */
export class RecordSealer {
  readonly keys: RecordKeys
  #cipher: CipherGCM | undefined
  #missing = 0

  /** `secret` is taken over. `number`: of the next record. */
  constructor(suite: SuiteName, secret: Buffer, number: number) {
    this.keys = new RecordKeys(suite, secret, number)
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

  #begin(length: number, out: Buffer, at: number): number {
    const sealed = length + typeBytes + tagBytes
    out[at] = contentType.applicationData
    out[at + 1] = 3
    out[at + 2] = 3
    out[at + 3] = sealed >> 8
    out[at + 4] = sealed & 0xff
    const { suite, key, nonce } = this.keys
    // Node's types name the modes one by one, and they all have the same calls.
    const cipher = suites[suite].cipher as 'aes-128-gcm'
    this.#cipher = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes })
    this.#cipher.setAAD(out.subarray(at, at + headerBytes))
    this.#missing = length
    this.keys.number += 1
    return at + headerBytes
  }

  #add(content: Buffer, out: Buffer, at: number): number {
    this.#missing -= content.length
    return at + (this.#cipher as CipherGCM).update(content).copy(out, at)
  }

  #end(type: Buffer, out: Buffer, at: number): number {
    const cipher = this.#cipher as CipherGCM
    this.#cipher = undefined
    let end = at + cipher.update(type).copy(out, at)
    cipher.final()
    end += cipher.getAuthTag().copy(out, end)
    return end
  }
}

const dataType = Buffer.from([contentType.applicationData])
