import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import { HandfastError } from '../errors.ts'
import {
  type DatagramHeader,
  datagramOverhead,
  headerLength,
  isDataType,
  type SenderTag,
  senderTagLength,
  tagLength,
  writeHeader,
  writeSenderTag,
} from './datagram.ts'

/**
 * Sealing: AES-256-GCM with a key of its own for each (epoch key, sender tag, space).
 *
 *      nonce  0        4                12       salt comes with the key from HKDF-SHA256
 *             +--------+-----------------+
 *             | salt   | sequence number |
 *             +--------+-----------------+
 *
 * Each member draws its own epoch key at random and hands it to the others over their
 * authenticated streams. One key for the whole farm would need a member that makes it and an
 * agreement after each partition; this way there is nothing to agree on, and a restart can't
 * meet an old nonce, for neither key nor sender tag outlives the process.
 */
export const epochKeyLength = 32
const cipher = 'aes-256-gcm'
const saltLength = 4
const nonceLength = 12

/** The two sequence spaces of a sender; a number may stand in both, so each has its key. */
export type SealSpace = 'data' | 'control'

interface SealKey {
  readonly key: KeyObject
  /** Salt in front, the rest is written for each datagram. */
  readonly nonce: Buffer
}

/** Seals the datagrams of this member under one epoch key. */
export class Sealer {
  readonly epoch: number
  readonly #farmTag: number
  readonly #keys: Readonly<Record<SealSpace, SealKey>>
  readonly #last: Record<SealSpace, number> = { data: 0, control: 0 }

  constructor(epoch: number, epochKey: Buffer, sender: SenderTag, farmTag: number) {
    this.epoch = epoch
    this.#farmTag = farmTag
    this.#keys = sealKeys(epochKey, sender)
  }

  /**
   * The whole datagram. Throws when the sequence number is not larger than the last one in its
   * space: the same nonce twice would give the key away.
   */
  seal(header: DatagramHeader, body: Buffer): Buffer {
    const space = isDataType(header.type) ? 'data' : 'control'
    if (header.sequence <= this.#last[space])
      throw new HandfastError(
        'ERR_HANDFAST_USAGE',
        `nonce ${header.sequence} used before`,
      )
    this.#last[space] = header.sequence
    const datagram = Buffer.allocUnsafe(datagramOverhead + body.length)
    writeHeader(header, this.#farmTag, datagram)
    const { key, nonce } = this.#keys[space]
    datagram.copy(nonce, saltLength, 16, 24)
    const sealing = createCipheriv(cipher, key, nonce)
    sealing.setAAD(datagram.subarray(0, headerLength))
    sealing.update(body).copy(datagram, headerLength)
    sealing.final()
    sealing.getAuthTag().copy(datagram, headerLength + body.length)
    return datagram
  }
}

/** Opens the datagrams of one other member under one of its epoch keys. */
export class Opener {
  readonly #keys: Readonly<Record<SealSpace, SealKey>>

  constructor(epochKey: Buffer, sender: SenderTag) {
    this.#keys = sealKeys(epochKey, sender)
  }

  /** The body, or undefined when the datagram is not what the sender sealed. */
  open(datagram: Buffer, space: SealSpace): Buffer | undefined {
    const { key, nonce } = this.#keys[space]
    datagram.copy(nonce, saltLength, 16, 24)
    const opening = createDecipheriv(cipher, key, nonce, { authTagLength: tagLength })
    opening.setAAD(datagram.subarray(0, headerLength))
    opening.setAuthTag(datagram.subarray(datagram.length - tagLength))
    const body = opening.update(
      datagram.subarray(headerLength, datagram.length - tagLength),
    )
    try {
      opening.final()
    } catch {
      return undefined
    }
    return body
  }
}

function sealKeys(epochKey: Buffer, sender: SenderTag): Record<SealSpace, SealKey> {
  return {
    data: sealKey(epochKey, sender, 'data'),
    control: sealKey(epochKey, sender, 'control'),
  }
}

function sealKey(epochKey: Buffer, sender: SenderTag, space: SealSpace): SealKey {
  const tag = Buffer.alloc(senderTagLength)
  writeSenderTag(sender, tag, 0)
  const info = Buffer.concat([Buffer.from(`handfast datagram 1 ${space} `), tag])
  const bytes = Buffer.from(hkdfSync('sha256', epochKey, '', info, 32 + saltLength))
  const nonce = Buffer.alloc(nonceLength)
  bytes.copy(nonce, 0, 32)
  return { key: createSecretKey(bytes.subarray(0, 32)), nonce }
}
