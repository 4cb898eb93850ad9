import { createDecipheriv } from 'node:crypto'
import { RecordFault } from './alert.ts'
import { contentType, fullRecord, headerBytes, tagBytes } from './layout.ts'
import { RecordKeys } from './record-keys.ts'
import { type SuiteName, suites } from './suite.ts'

export interface OpenedRecord {
  readonly type: number
  readonly content: Buffer
}

/** Opens the records of one direction, in their order. */
export class RecordOpener {
  readonly keys: RecordKeys

  /** `secret` is taken over. `number`: of the next record. */
  constructor(suite: SuiteName, secret: Buffer, number: number) {
    this.keys = new RecordKeys(suite, secret, number)
  }

  /** Throws a RecordFault when it is not the next record, or does not follow the format. */
  open(record: Buffer): OpenedRecord {
    const opened = this.tryOpen(record)
    if (opened === undefined) {
      throw new RecordFault('bad_record_mac', 'a record that does not open')
    }
    return opened
  }

  /**
   * Undefined when it is not sealed with these keys as the next record. Throws a RecordFault for
   * one that is, and does not follow the format.
   */
  tryOpen(record: Buffer): OpenedRecord | undefined {
    const end = record.length - tagBytes
    if (record[0] !== contentType.applicationData || end <= headerBytes) return undefined
    const { suite, key, nonce } = this.keys
    // Node's types name the modes one by one, and they all have the same calls.
    const cipher = suites[suite].cipher as 'aes-128-gcm'
    const decipher = createDecipheriv(cipher, key, nonce, { authTagLength: tagBytes })
    decipher.setAAD(record.subarray(0, headerBytes))
    decipher.setAuthTag(record.subarray(end))
    const inner = decipher.update(record.subarray(headerBytes, end))
    try {
      decipher.final()
    } catch {
      return undefined
    }
    this.keys.number += 1
    return withoutPadding(inner)
  }
}

/** RFC 8446 5.4: the type is the last byte that is not zero. */
function withoutPadding(inner: Buffer): OpenedRecord {
  let end = inner.length - 1
  while (end >= 0 && inner[end] === 0) end -= 1
  if (end < 0) throw new RecordFault('unexpected_message', 'a record without a type')
  if (inner.length > fullRecord + 1) {
    throw new RecordFault('record_overflow', 'a record with too much in it')
  }
  return { type: inner[end] as number, content: inner.subarray(0, end) }
}
