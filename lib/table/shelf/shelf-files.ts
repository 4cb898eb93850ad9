import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { buzhashSeedLength } from '../buzhash.ts'
import {
  bucketBytes,
  indexAt,
  indexHead,
  indexShare,
  magic,
  maxRings,
  ringAt,
  ringHead,
} from './shelf-layout.ts'

/** Linux's f_type of tmpfs (statfs(2)): what is written there reaches no disk but swap. */
const tmpfs = 0x01021994
const inMemory = '/dev/shm'

/** Where a process has the files of a shelf open; another of the same user can open them, too. */
export interface ShelfPlace {
  readonly pid: number
  /** Of the index, then of each ring. */
  readonly descriptors: readonly number[]
  /** Hex. Tells that they are what they were when the place was told. */
  readonly id: string
}

/**
 * The files of a shelf. They have no name from the moment they are made, so that nothing is
 * left of them when the last process of the host is gone, however it went.
 */
export class ShelfFiles {
  readonly id: Buffer
  readonly index: number
  readonly rings: readonly number[]
  readonly buckets: number
  readonly maxBytes: number
  /** Random words for the hash, the same for all that use the shelf. */
  readonly seed: Buffer

  private constructor(descriptors: readonly number[]) {
    const [index = -1, ...rings] = descriptors
    this.index = index
    this.rings = rings
    const head = Buffer.alloc(indexHead)
    const read = readSync(index, head, 0, indexHead, 0)
    if (read < indexHead || !head.subarray(0, magic.length).equals(magic)) {
      throw new Error('not a shelf')
    }
    this.id = head.subarray(indexAt.id, indexAt.id + 8)
    this.buckets = head.readUInt32LE(indexAt.buckets)
    this.maxBytes = head.readUIntLE(indexAt.maxBytes, 6)
    this.seed = head.subarray(indexAt.seed, indexAt.seed + buzhashSeedLength)
    rings.forEach((ring, number) => {
      const own = Buffer.alloc(ringAt.written)
      readSync(ring, own, 0, own.length, 0)
      const isOurs = own.subarray(0, 8).equals(this.id)
      if (!isOurs || own.readUInt32LE(ringAt.number) !== number)
        throw new Error('no ring')
    })
  }

  /**
   * A new shelf of at most `maxBytes`, and at most half of the memory that is left for files.
   * Undefined where there is no memory for files.
   */
  static make(maxBytes: number, rings: number = maxRings): ShelfFiles | undefined {
    const free = freeInMemory()
    const bytes = Math.floor(Math.min(maxBytes, free / 2))
    const buckets = Math.floor((bytes / indexShare - indexHead) / bucketBytes)
    if (buckets < 1) return undefined
    const descriptors: number[] = []
    try {
      while (descriptors.length <= rings) descriptors.push(unnamedFile())
      const id = randomBytes(8)
      descriptors.forEach((descriptor, i) => {
        const head = i === 0 ? indexHeadOf(id, buckets, bytes) : ringHeadOf(id, i - 1)
        writeSync(descriptor, head, 0, head.length, 0)
      })
      ftruncateSync(descriptors[0] as number, indexHead + buckets * bucketBytes)
      return new ShelfFiles(descriptors)
    } catch {
      for (const descriptor of descriptors) closeSync(descriptor)
      return undefined
    }
  }

  /** The shelf that another process has open; undefined when it has not, or not any more. */
  static open({ pid, descriptors, id }: ShelfPlace): ShelfFiles | undefined {
    const opened: number[] = []
    try {
      for (const descriptor of descriptors) {
        opened.push(openSync(`/proc/${pid}/fd/${descriptor}`, constants.O_RDWR))
      }
      const files = new ShelfFiles(opened)
      if (files.id.toString('hex') === id) return files
    } catch {
      // What is not there any more, or not ours, is none.
    }
    for (const descriptor of opened) closeSync(descriptor)
    return undefined
  }

  get place(): ShelfPlace {
    const descriptors = [this.index, ...this.rings]
    return { pid: process.pid, descriptors, id: this.id.toString('hex') }
  }

  /** Of memory that the files take now. */
  get bytes(): number {
    let blocks = fstatSync(this.index).blocks
    for (const ring of this.rings) blocks += fstatSync(ring).blocks
    return blocks * 512
  }

  close(): void {
    for (const descriptor of [this.index, ...this.rings]) closeSync(descriptor)
  }
}

function freeInMemory(): number {
  try {
    const { type, bavail, bsize } = statfsSync(inMemory)
    return type === tmpfs ? bavail * bsize : 0
  } catch {
    return 0
  }
}

function unnamedFile(): number {
  const path = `${inMemory}/handfast-${randomBytes(12).toString('hex')}`
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  unlinkSync(path)
  return descriptor
}

function indexHeadOf(id: Buffer, buckets: number, bytes: number): Buffer {
  const head = Buffer.alloc(indexHead)
  head.set(magic)
  head.set(id, indexAt.id)
  head.writeUInt32LE(buckets, indexAt.buckets)
  head.writeUIntLE(bytes, indexAt.maxBytes, 6)
  head.set(randomBytes(buzhashSeedLength), indexAt.seed)
  return head
}

function ringHeadOf(id: Buffer, number: number): Buffer {
  const head = Buffer.alloc(ringHead)
  head.set(id, ringAt.id)
  head.writeUInt32LE(number, ringAt.number)
  return head
}
