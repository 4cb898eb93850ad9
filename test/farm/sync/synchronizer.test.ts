import t from 'tap'
import { Synchronizer } from '../../../lib/farm/sync/synchronizer.ts'
import type { Replica } from '../../../lib/farm/transport.ts'
import { tables } from '../../../lib/record/key.ts'
import type { CacheRecord } from '../../../lib/record/record.ts'
import {
  type ControlMessage,
  readControlMessage,
  writeControlMessage,
} from '../../../lib/wire/control-message.ts'

const count = 100
/** So that several of a step are left for the next page. */
const valueLength = 5_000

t.test(
  'what a donor has left for the next page outlives a write to its table',
  async t => {
    let lent: CacheRecord[] = []
    let lentAtAll = 0
    const replica: Replica = {
      apply: () => false,
      read: () => undefined,
      scan: (cursor, limit, isBorrowed) => {
        const from = (cursor as { readonly from: number } | undefined)?.from ?? 0
        const to = Math.min(count, from + limit)
        const records = Array.from({ length: to - from }, (_, i) => recordOf(from + i))
        if (isBorrowed === true) lent.push(...records)
        return { records, next: to < count ? { from: to } : undefined }
      },
    }
    const sent: ControlMessage[] = []
    const donor = new Synchronizer(
      () => replica,
      {
        vector: () => [],
        ready: () => true,
        send: (_, message) => sent.push(readControlMessage(writeControlMessage(message))),
        apply: () => true,
        started: () => {},
        completed: () => {},
        wall: () => 0,
      },
      () => 0,
    )
    donor.message('asker', { type: 'open', id: 1, digest: undefined }, 0)
    const got: string[] = []
    for (let page = 0; page < count; page += 1) {
      donor.message('asker', { type: 'next', id: 1, page }, 0)
      const answer = sent.at(-1)
      if (answer?.type !== 'page') throw new Error('no page')
      for (const { key, value } of answer.records) {
        t.ok(value.equals(recordOf(Number(key.toString())).value), `record ${key}`)
        got.push(key.toString())
      }
      if (answer.last) break
      lentAtAll += lent.length
      for (const { key, value } of lent) {
        key.fill('x')
        value.fill(0)
      }
      lent = []
    }
    t.ok(lentAtAll > 0, 'views')
    t.same(
      got,
      Array.from({ length: count }, (_, i) => String(i)),
    )
  },
)

function recordOf(number: number): CacheRecord {
  return {
    table: tables.session,
    key: Buffer.from(String(number)),
    value: Buffer.alloc(valueLength, number + 1),
    version: { ms: 1, logical: 0, node: 1 },
    expiresAt: 1_000,
    tombstone: false,
  }
}
