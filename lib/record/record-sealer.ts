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
import { RandomStock } from '../random-stock.ts'
import { maxKeyLength, type TableId, tableId } from './key.ts'
import { type CacheRecord, maxValueLength } from './record.ts'
import { readVersion, versionLength, writeVersion } from './version.ts'

/**
 * A record for a place that is not trusted: a server, a disk.
 *
 *      0        1       2         12           18       22       38      50
 *      +--------+-------+---------+------------+--------+--------+-------+--------+------+
 *      | layout | flags | version | expires at | key id | salt   | nonce | sealed | tag  |
 *      | u8 = 1 | u8    | 10 B    | u48 ms     | 4 B    | 16 B   | 12 B  |        | 16 B |
 *      +--------+-------+---------+------------+--------+--------+-------+--------+------+
 *
 *      sealed:  key length u8 | key | value
 *
 * flags: bit 0 = tombstone. AES-256-GCM; what stands before `sealed`, and the name under which
 * the place knows the record, are authenticated with it. The name begins with the number of the
 * virtual table, and tells no more than that: its rest is an HMAC-SHA256 of table and key, for
 * the key of a session is as good as the session.
 *
 * Each salt makes a key of its own (HKDF-SHA256), of which 2^30 nonces are drawn at most, far
 * below the bound of NIST SP 800-38D 8.3; salts are drawn by each process. The key id makes a
 * record of another secret a miss before anything is computed.
 */
export interface RecordSealer {
  /** 33 bytes under which a record is kept outside; see above. */
  name(table: TableId, key: Buffer): Buffer
  /** The bytes to keep under the record's name. */
  seal(record: CacheRecord): Buffer
  /** Undefined: foreign, altered, of another secret or name. Never throws. */
  open(name: Buffer, sealed: Buffer): CacheRecord | undefined
}

export const sealedNameLength = 33
/** Where the version stands, to compare bytes with: the larger is the newer. */
export const sealedVersionAt = 2
export const sealedOverhead = 67

const layout = 1
const tombstoneFlag = 1
const expiryAt = sealedVersionAt + versionLength
const keyIdAt = expiryAt + 6
const saltAt = keyIdAt + 4
const saltLength = 16
const nonceAt = saltAt + saltLength
const nonceLength = 12
const bodyAt = nonceAt + nonceLength
const tagLength = 16
const cipher = 'aes-256-gcm'
/** Of one salt. */
const mostSeals = 2 ** 30
/** Keys of other salts that are at hand: processes that wrote what is read here. */
const mostKeys = 256

/** `key`: 32 bytes for this purpose alone, drawn from the farm's secret. */
export function recordSealer(key: Buffer): RecordSealer {
  return new AesSealer(key)
}

class AesSealer implements RecordSealer {
  readonly #key: KeyObject
  readonly #nameKey: KeyObject
  readonly #keyId: Buffer
  readonly #keys = new BoundedMap<string, KeyObject>(mostKeys)
  readonly #nonces = new RandomStock(nonceLength)
  #salt = randomBytes(saltLength)
  #sealing: KeyObject
  #seals = 0

  constructor(key: Buffer) {
    this.#key = createSecretKey(key)
    this.#nameKey = createSecretKey(derived(this.#key, '', 'record name', 32))
    this.#keyId = derived(this.#key, '', 'record key id', 4)
    this.#sealing = this.#keyOf(this.#salt)
  }

  name(table: TableId, key: Buffer): Buffer {
    const hmac = createHmac('sha256', this.#nameKey)
    const prefix = Buffer.of(table)
    return Buffer.concat([prefix, hmac.update(prefix).update(key).digest()])
  }

  seal(record: CacheRecord): Buffer {
    const { table, key, value, version, expiresAt, tombstone } = record
    const length = 1 + key.length + value.length
    const bytes = Buffer.allocUnsafe(bodyAt + length + tagLength)
    bytes[0] = layout
    bytes[1] = tombstone ? tombstoneFlag : 0
    writeVersion(version, bytes, sealedVersionAt)
    bytes.writeUIntBE(expiresAt, expiryAt, 6)
    this.#keyId.copy(bytes, keyIdAt)
    const sealingKey = this.#nextKey()
    this.#salt.copy(bytes, saltAt)
    const nonce = this.#nonces.draw()
    nonce.copy(bytes, nonceAt)
    const sealing = createCipheriv(cipher, sealingKey, nonce)
    sealing.setAAD(Buffer.concat([this.name(table, key), bytes.subarray(0, bodyAt)]))
    let at = bodyAt
    for (const part of [Buffer.of(key.length), key, value])
      at += sealing.update(part).copy(bytes, at)
    sealing.final()
    sealing.getAuthTag().copy(bytes, at)
    return bytes
  }

  open(name: Buffer, sealed: Buffer): CacheRecord | undefined {
    const { length } = sealed
    const isForm = sealed[0] === layout && (sealed[1] ?? 2) <= tombstoneFlag
    if (!isForm || name.length !== sealedNameLength || name[0] === 0) return undefined
    if (length < bodyAt + 2 + tagLength) return undefined
    if (length > bodyAt + 1 + maxKeyLength + maxValueLength + tagLength) return undefined
    if (sealed.compare(this.#keyId, 0, 4, keyIdAt, saltAt) !== 0) return undefined
    const key = this.#keyOf(sealed.subarray(saltAt, nonceAt))
    const nonce = sealed.subarray(nonceAt, bodyAt)
    const opening = createDecipheriv(cipher, key, nonce, { authTagLength: tagLength })
    opening.setAAD(Buffer.concat([name, sealed.subarray(0, bodyAt)]))
    opening.setAuthTag(sealed.subarray(length - tagLength))
    const body = opening.update(sealed.subarray(bodyAt, length - tagLength))
    try {
      opening.final()
    } catch {
      return undefined
    }
    const valueAt = 1 + (body[0] ?? 0)
    const tombstone = sealed[1] === tombstoneFlag
    // Nobody but a member could have sealed such a thing.
    if (valueAt === 1 || valueAt > body.length) return undefined
    if (tombstone && valueAt < body.length) return undefined
    return {
      table: tableId(name[0] ?? 0),
      key: body.subarray(1, valueAt),
      value: body.subarray(valueAt),
      version: readVersion(sealed, sealedVersionAt),
      expiresAt: sealed.readUIntBE(expiryAt, 6),
      tombstone,
    }
  }

  #nextKey(): KeyObject {
    this.#seals += 1
    if (this.#seals > mostSeals) {
      this.#seals = 1
      this.#salt = randomBytes(saltLength)
      this.#sealing = this.#keyOf(this.#salt)
    }
    return this.#sealing
  }

  #keyOf(salt: Buffer): KeyObject {
    const id = salt.toString('latin1')
    let key = this.#keys.get(id)
    if (key === undefined) {
      key = createSecretKey(derived(this.#key, salt, 'record seal', 32))
      this.#keys.set(id, key)
    }
    return key
  }
}

function derived(
  key: KeyObject,
  salt: Buffer | string,
  purpose: string,
  length: number,
): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, `handfast 1 ${purpose}`, length))
}
