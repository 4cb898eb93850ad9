import { parentPort } from 'node:worker_threads'
import { type Database, open, type RootDatabase } from 'lmdb'
import { conditions, type Packed, packEntries, rankLength, unpack } from './entry.ts'
import {
  type Answer,
  type Figures,
  type OpenTerms,
  outcomes,
  type Range,
  schema,
  type Task,
} from './task.ts'

/**
 * LMDB in a thread of its own: a commit waits for the disk, and so does a page that is not in
 * memory. Two of them share an environment, so that who reads does not wait for a commit.
 *
 *      entries   key -> entry; see entry.ts
 *      ends      kept (u8), expires at (u48), key -> nothing: the order in which entries go
 *      about     'schema' -> number of the schema (u8)
 */
/**
 * Of the file, before entries are given up, and before what must be kept is refused: a commit
 * copies the pages that it changes. LMDB itself would let the file grow.
 */
const highWater = 3 / 4
const highestWater = 7 / 8
const endsHeader = 7
const nothing = Buffer.from([0])
const schemaKey = Buffer.from('schema')

let opened: Opened | undefined

interface Opened {
  readonly root: RootDatabase<Buffer, Buffer>
  readonly entries: Database<Buffer, Buffer>
  readonly ends: Database<Buffer, Buffer>
  readonly maxBytes: number
  evicted: number
}

parentPort?.on('message', async (message: Task & { readonly id: number }) => {
  const { id } = message
  try {
    const result = await perform(message)
    const moved = result instanceof ArrayBuffer ? [result] : []
    parentPort?.postMessage({ id, result } satisfies Answer, moved)
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException
    parentPort?.postMessage({ id, error: { message, code } } satisfies Answer)
  }
})

function perform(task: Task): unknown {
  switch (task.op) {
    case 'open':
      return openAll(task.terms)
    case 'write':
      return write(here(), task.changes)
    case 'get': {
      const stored = readFresh(here()).entries.getBinary(Buffer.from(task.key))
      return stored && copyOf(stored)
    }
    case 'scan':
      return scan(readFresh(here()), task.range)
    case 'sweep':
      return sweep(here(), task.now, task.limit)
    case 'close':
      return close()
  }
}

function openAll({ path, maxBytes, fsync, readOnly }: OpenTerms): Figures {
  const root = open<Buffer, Buffer>({
    path,
    mapSize: maxBytes,
    maxDbs: 4,
    // Our own commits: each is on the disk before it is answered.
    overlappingSync: false,
    noSync: !fsync,
    // Pages of the file that are not written to must not hold what was in memory.
    noMemInit: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    ...({ permissionsMode: 0o600 } as object),
  })
  const store = (name: string) =>
    root.openDB<Buffer, Buffer>(name, { encoding: 'binary', keyEncoding: 'binary' })
  const about = store('about')
  const found = about.getBinary(schemaKey)?.[0]
  if (found !== undefined && found !== schema) {
    void root.close()
    throw Object.assign(new Error(`schema ${found}`), { code: 'SCHEMA' })
  }
  if (found === undefined && !readOnly) {
    root.transactionSync(() => about.putSync(schemaKey, Buffer.from([schema])))
  }
  opened = { root, entries: store('entries'), ends: store('ends'), maxBytes, evicted: 0 }
  return figures(opened)
}

async function close(): Promise<void> {
  const closing = opened
  opened = undefined
  if (closing === undefined) return
  await closing.root.close()
}

/** All of them in one transaction. */
function write(
  now: Opened,
  memory: ArrayBuffer,
): { outcome: Uint8Array; figures: Figures } {
  const changes = [...unpack(memory)]
  const outcome = new Uint8Array(changes.length)
  now.root.transactionSync(() => {
    const room = makeRoom(now, memory.byteLength)
    for (const [index, change] of changes.entries()) {
      outcome[index] = apply(now, change, room)
    }
  })
  return { outcome, figures: figures(now) }
}

function apply({ entries, ends }: Opened, change: Packed, room: Room): number {
  const { key, stored } = change
  const old = entries.getBinary(key)
  if (!isMet(change, old)) return outcomes.unchanged
  const hasRoom = stored[0] === 1 ? room.kept : room.other
  if (stored.length > 0 && !hasRoom) return outcomes.full
  if (old !== undefined) ends.removeSync(endKey(key, old))
  if (stored.length === 0)
    return entries.removeSync(key) ? outcomes.made : outcomes.unchanged
  ends.putSync(endKey(key, stored), nothing)
  entries.putSync(key, stored)
  return outcomes.made
}

function isMet(
  { condition, expected, stored }: Packed,
  old: Buffer | undefined,
): boolean {
  if (condition === conditions.always) return true
  if (condition === conditions.absent) return old === undefined
  const rank = old && Buffer.from(old.subarray(1, 1 + rankLength))
  if (condition === conditions.rank) return rank?.equals(expected) === true
  return (
    rank === undefined || Buffer.compare(stored.subarray(1, 1 + rankLength), rank) > 0
  )
}

/** Whether there is some for what must be kept, and for the rest. */
interface Room {
  readonly kept: boolean
  readonly other: boolean
}

/** Where the file is nearly full, those that end first go, twice as much as comes. */
function makeRoom(now: Opened, coming: number): Room {
  const bytes = bytesOf(now)
  if (bytes < now.maxBytes * highWater) return { kept: true, other: true }
  const { entries, ends } = now
  let freed = 0
  const gone: Buffer[] = []
  for (const end of ends.getKeys({ end: Buffer.from([1]) })) {
    if (freed >= 2 * coming) break
    const key = Buffer.from(end).subarray(endsHeader)
    freed += (entries.getBinary(key)?.length ?? 0) + 2 * key.length
    gone.push(Buffer.from(end))
  }
  for (const end of gone) remove(now, end)
  now.evicted += gone.length
  return { kept: bytes < now.maxBytes * highestWater, other: gone.length > 0 }
}

/** Removes entries that have expired, `limit` at most; answers how many. */
function sweep(now: Opened, wall: number, limit: number): number {
  const gone: Buffer[] = []
  for (const kept of [0, 1]) {
    const bound = Buffer.alloc(endsHeader)
    bound[0] = kept
    bound.writeUIntBE(wall, 1, 6)
    const range = { start: Buffer.from([kept]), end: bound, limit: limit - gone.length }
    if (range.limit <= 0) break
    for (const end of readFresh(now).ends.getKeys(range)) gone.push(Buffer.from(end))
  }
  if (gone.length === 0) return 0
  now.root.transactionSync(() => {
    for (const end of gone) remove(now, end)
  })
  return gone.length
}

function remove({ entries, ends }: Opened, end: Buffer): void {
  ends.removeSync(end)
  entries.removeSync(end.subarray(endsHeader))
}

function scan({ entries }: Opened, range: Range): ArrayBuffer {
  const { limit, mostBytes } = range
  const prefix = Buffer.from(range.prefix)
  const after = range.after && Buffer.from(range.after)
  const found: [Buffer, Buffer][] = []
  let bytes = 0
  // The byte 0 behind a key is the key that follows it.
  const start = after ? Buffer.concat([after, nothing]) : prefix
  for (const { key, value } of entries.getRange(start.length > 0 ? { start } : {})) {
    const name = Buffer.from(key)
    if (!name.subarray(0, prefix.length).equals(prefix)) break
    found.push([name, value])
    bytes += name.length + value.length
    if (found.length >= limit || bytes >= mostBytes) break
  }
  return packEntries(found)
}

function endKey(key: Buffer, stored: Buffer): Buffer {
  const end = Buffer.allocUnsafe(endsHeader + key.length)
  end[0] = stored[0] ?? 0
  Buffer.from(stored.buffer, stored.byteOffset + 17, 6).copy(end, 1)
  key.copy(end, endsHeader)
  return end
}

function figures(now: Opened): Figures {
  const { entryCount } = now.entries.getStats() as { entryCount: number }
  return { entries: entryCount, bytes: bytesOf(now), evicted: now.evicted }
}

function bytesOf({ entries, ends }: Opened): number {
  let bytes = 0
  for (const store of [entries, ends]) {
    const stats = store.getStats() as Readonly<Record<string, number>>
    const { treeBranchPageCount = 0, treeLeafPageCount = 0 } = stats
    const pages = treeBranchPageCount + treeLeafPageCount + (stats['overflowPages'] ?? 0)
    bytes += pages * (stats['pageSize'] ?? 4096)
  }
  return bytes
}

/** What has been committed by the other thread is seen, too. */
function readFresh(now: Opened): Opened {
  now.root.resetReadTxn()
  return now
}

function copyOf(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length)
  new Uint8Array(copy).set(bytes)
  return copy
}

function here(): Opened {
  if (opened === undefined) throw new Error('the environment is not open')
  return opened
}
