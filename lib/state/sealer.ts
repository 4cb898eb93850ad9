import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { BoundedMap } from '../bounded-map.ts'
import { HandfastError } from '../errors.ts'
import { RandomStock } from '../random-stock.ts'

/**
 * A value as it lies in a database, for whoever reads the database, its backups and its wires.
 *
 *      0        1        5        21      33       49
 *      +--------+--------+--------+-------+--------+--------------------------------+
 *      | format | key id | salt   | nonce | tag    | sealed: length of key, key, value |
 *      | u8 1   | 4      | 16     | 12    | 16     |                                |
 *      +--------+--------+--------+-------+--------+--------------------------------+
 *
 * AES-256-GCM (NIST SP 800-38D). Each process draws a salt and seals under a key of its own, so
 * that random nonces don't run short. Bound to it are the table and the name, so that what
 * belongs to one user can't be put in the place of another's. **Who can write to the database can
 * put back an older value of the same key**: a version that the database itself hands out can't
 * be sealed in before it is known.
 *
 * The name under which it lies is an HMAC of table and key. A key may be a session ID, and
 * whoever has one is the user.
 */
const format = 1
const saltAt = 5
const nonceAt = 21
const tagAt = 33
const headLength = 49
export const sealedOverhead: number = headLength + 2
/** Of random 96-bit nonces under one key; half of what SP 800-38D, 8.3 allows. */
const mostSeals = 2 ** 31
/** Keys of other processes, for what they sealed. */
const mostKeys = 256

export interface Opened {
  readonly key: string
  readonly value: Buffer
}

export class StateSealer {
  readonly #nameKey: Buffer
  readonly #valueKey: Buffer
  readonly #keyId: Buffer
  readonly #keys = new BoundedMap<string, KeyObject>(mostKeys)
  readonly #nonces = new RandomStock(tagAt - nonceAt)
  #salt = randomBytes(16)
  #seals = 0

  /** `key`: 32 bytes, the same on every server that reads what another wrote. */
  constructor(key: Buffer) {
    this.#nameKey = drawn(key, 'names')
    this.#valueKey = drawn(key, 'values')
    this.#keyId = drawn(key, 'id').subarray(0, 4)
  }

  /** 43 characters. */
  nameOf(table: string, key: string): string {
    return createHmac('sha256', this.#nameKey)
      .update(`${table}\0${key}`)
      .digest('base64url')
  }

  seal(table: string, name: string, key: string, value: Buffer): Buffer {
    if (this.#seals === mostSeals) {
      this.#salt = randomBytes(16)
      this.#seals = 0
    }
    this.#seals += 1
    const nonce = this.#nonces.draw()
    const head = Buffer.concat([Buffer.of(format), this.#keyId, this.#salt, nonce])
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(this.#salt), nonce)
    cipher.setAAD(bindingOf(head, table, name))
    const keyLength = Buffer.byteLength(key)
    const plain = Buffer.allocUnsafe(2 + keyLength + value.length)
    plain.writeUInt16BE(keyLength)
    plain.write(key, 2)
    value.copy(plain, 2 + keyLength)
    const sealed = cipher.update(plain)
    cipher.final()
    return Buffer.concat([head, cipher.getAuthTag(), sealed])
  }

  /** Throws ERR_HANDFAST_PROTOCOL, which says why. */
  open(table: string, name: string, sealed: Buffer): Opened {
    if (sealed.length < sealedOverhead || sealed[0] !== format) {
      throw notOpened('is not sealed, or by a later release')
    }
    if (!sealed.subarray(1, saltAt).equals(this.#keyId)) {
      throw notOpened('was sealed under another secret')
    }
    const key = this.#keyOf(sealed.subarray(saltAt, nonceAt))
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(nonceAt, tagAt))
    decipher.setAAD(bindingOf(sealed.subarray(0, tagAt), table, name))
    decipher.setAuthTag(sealed.subarray(tagAt, headLength))
    const bytes = decipher.update(sealed.subarray(headLength))
    try {
      decipher.final()
    } catch {
      throw notOpened('was altered, or put where it does not belong')
    }
    const keyEnd = 2 + bytes.readUInt16BE(0)
    return { key: bytes.toString('utf8', 2, keyEnd), value: bytes.subarray(keyEnd) }
  }

  #keyOf(salt: Buffer): KeyObject {
    const name = salt.toString('latin1')
    let key = this.#keys.get(name)
    if (key !== undefined) return key
    const drawn = hkdfSync('sha256', this.#valueKey, salt, 'handfast 1 state', 32)
    key = createSecretKey(Buffer.from(drawn))
    this.#keys.set(name, key)
    return key
  }
}

function drawn(key: Buffer, purpose: string): Buffer {
  const info = `handfast 1 state ${purpose}`
  return Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), info, 32))
}

function bindingOf(head: Buffer, table: string, name: string): Buffer {
  return Buffer.concat([head, Buffer.from(`${table}\0${name}`)])
}

function notOpened(why: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_PROTOCOL', `a value in the database ${why}`)
}
