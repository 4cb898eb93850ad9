import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from 'node:crypto'
import { farmKey } from '../../farm/secret.ts'
import { masterLength } from './epoch-key.ts'

/**
 * The ticket keys of one epoch, as the value under `ticket-keys <period> <epoch>` in the
 * virtual table `farm`. Entries stand in the order of their ids.
 *
 *      0        1       2                85
 *      +--------+-------+----------------+----------------+---
 *      | layout | count | entry          | entry          | ...
 *      | u8 = 1 | u8    | 83 B           | 83 B           |
 *      +--------+-------+----------------+----------------+---
 *
 *      0        16       17        23         35           67       83
 *      +--------+--------+---------+----------+------------+--------+
 *      | id     | state  | made at | nonce    | sealed key | tag    |
 *      | 16 B   | u8     | u48 ms  | 12 B     | 32 B       | 16 B   |
 *      +--------+--------+---------+----------+------------+--------+
 *
 * state: 0 = in use, 1 = withdrawn (the key is then noise). Sealed with AES-256-GCM under a key
 * drawn from the farm secret, so that no table, disk or dump has a ticket key in clear; the
 * farm, the period, the epoch and what stands before the nonce are authenticated with it.
 */
export interface TicketEntry {
  readonly id: Buffer
  readonly withdrawn: boolean
  /** Wall time of the member that made it. */
  readonly madeAt: number
  /** The entry as it is posted. */
  readonly bytes: Buffer
}

export const ticketRecordLayout = 1
export const entryLength = 83
export const entryIdLength = 16
/** More keys than this for one epoch are not kept: those with the lowest ids win. */
export const mostEntries = 128
const headLength = 2
const clearLength = 23
const nonceLength = 12
const sealedAt = clearLength + nonceLength
const tagAt = sealedAt + masterLength
const cipher = 'aes-256-gcm'
const keyPrefix = 'ticket-keys '

export function ticketRecordKey(period: number, epoch: number): Buffer {
  return Buffer.from(`${keyPrefix}${period} ${epoch}`)
}

/** Other records lie in the same virtual table. */
export function isTicketRecordKey(key: Buffer): boolean {
  return key.toString('latin1', 0, keyPrefix.length) === keyPrefix
}

export function encodeTicketRecord(entries: readonly TicketEntry[]): Buffer {
  return Buffer.concat([
    Buffer.of(ticketRecordLayout, entries.length),
    ...entries.map(({ bytes }) => bytes),
  ])
}

/** Undefined when the bytes are not such a record. The entries are not opened yet; copies. */
export function decodeTicketRecord(value: Buffer): TicketEntry[] | undefined {
  const count = value[1]
  if (value[0] !== ticketRecordLayout || count === undefined || count > mostEntries) {
    return undefined
  }
  if (value.length !== headLength + count * entryLength) return undefined
  const entries: TicketEntry[] = []
  for (let at = headLength; at < value.length; at += entryLength) {
    const bytes = Buffer.from(value.subarray(at, at + entryLength))
    const state = bytes.readUInt8(entryIdLength)
    if (state > 1) return undefined
    entries.push(entryOf(bytes))
  }
  return entries
}

/** Seals the ticket keys of a farm for the way through its tables, and opens them. */
export class TicketSeal {
  readonly #key: KeyObject
  readonly #random: (size: number) => Buffer

  constructor(secret: Buffer, farmName: string, random: (size: number) => Buffer) {
    const bytes = farmKey(secret, farmName, 'ticket keys')
    this.#key = createSecretKey(bytes)
    bytes.fill(0)
    this.#random = random
  }

  /** A new entry. The id is drawn unless it withdraws another. */
  seal(
    place: { readonly period: number; readonly epoch: number },
    master: Buffer,
    madeAt: number,
  ): TicketEntry {
    return this.#entry(place, this.#random(entryIdLength), 0, master, madeAt)
  }

  /** What takes the place of an entry whose key nobody may use any more. */
  withdrawal(
    place: { readonly period: number; readonly epoch: number },
    entry: TicketEntry,
  ): TicketEntry {
    return this.#entry(place, entry.id, 1, this.#random(masterLength), entry.madeAt)
  }

  /** The key in it, for the caller to zero; undefined when it is not from this farm. */
  open(
    place: { readonly period: number; readonly epoch: number },
    entry: TicketEntry,
  ): Buffer | undefined {
    const { bytes } = entry
    const nonce = bytes.subarray(clearLength, sealedAt)
    const opening = createDecipheriv(cipher, this.#key, nonce, { authTagLength: 16 })
    opening.setAAD(authenticated(place, bytes))
    opening.setAuthTag(bytes.subarray(tagAt))
    const master = opening.update(bytes.subarray(sealedAt, tagAt))
    try {
      opening.final()
      return master
    } catch {
      master.fill(0)
      return undefined
    }
  }

  #entry(
    place: { readonly period: number; readonly epoch: number },
    id: Buffer,
    state: number,
    master: Buffer,
    madeAt: number,
  ): TicketEntry {
    const bytes = Buffer.alloc(entryLength)
    id.copy(bytes)
    bytes[entryIdLength] = state
    bytes.writeUIntBE(Math.max(0, Math.floor(madeAt)), entryIdLength + 1, 6)
    const nonce = this.#random(nonceLength)
    nonce.copy(bytes, clearLength)
    const sealing = createCipheriv(cipher, this.#key, nonce)
    sealing.setAAD(authenticated(place, bytes))
    sealing.update(master).copy(bytes, sealedAt)
    sealing.final()
    sealing.getAuthTag().copy(bytes, tagAt)
    return entryOf(bytes)
  }
}

function entryOf(bytes: Buffer): TicketEntry {
  return {
    id: bytes.subarray(0, entryIdLength),
    withdrawn: bytes[entryIdLength] === 1,
    madeAt: bytes.readUIntBE(entryIdLength + 1, 6),
    bytes,
  }
}

function authenticated(
  place: { readonly period: number; readonly epoch: number },
  bytes: Buffer,
): Buffer {
  return Buffer.concat([
    ticketRecordKey(place.period, place.epoch),
    bytes.subarray(0, clearLength),
  ])
}
