import type { Clock } from '../clock.ts'
import type { Replica } from '../farm/transport.ts'
import { tables } from '../record/key.ts'
import type { CacheRecord } from '../record/record.ts'
import type { Link } from './link.ts'

/** Records of one step of the walk. */
const step = 256
/** What the other end may not have taken before the walk waits for it, bytes. */
const mostAhead = 1024 * 1024

export interface Giving {
  readonly scan: Replica['scan']
  readonly link: Link
  readonly clock: Clock
  send(record: CacheRecord): void
  /** Nothing more is to be given. */
  isOver(): boolean
}

/** Gives the other end of a link all that is here but sessions, as fast as it takes it. */
export async function giveAll({
  scan,
  link,
  clock,
  send,
  isOver,
}: Giving): Promise<void> {
  let next: object | undefined
  do {
    const { records, next: rest } = scan(next, step)
    for (const record of records) if (record.table !== tables.session) send(record)
    next = rest
    await new Promise<void>(resolve => setImmediate(resolve))
    while (link.waiting > mostAhead && !link.ended) {
      await new Promise<void>(resolve => clock.after(5, resolve))
    }
  } while (next !== undefined && !isOver())
}
