import { readFileSync } from 'node:fs'
import {
  type FileHandle,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import type { Server, Socket } from 'node:net'
import { endianness } from 'node:os'
import { join } from 'node:path'
import { makePrivateFolder } from '../../lib/private-folder.ts'
import { HostSocket } from '../../lib/repository/host-socket.ts'

/** What a commit may take at once. */
const roomNeeded = 1024 * 1024
/** LMDB's own for 126 readers has some less. */
const lockFileLength = 16 * 1024
/** Of the first page, as far as it is looked at. */
const metaLength = 168

/**
 * A folder on disk that one process has for itself:
 *
 *      data.mdb       the entries
 *      data.mdb-lock  LMDB's own, for its threads
 *      holder/        a socket, for as long as a process holds the folder
 *      unsynced       while it is written to without fsync: the boot that does
 */
export class Folder {
  readonly path: string
  readonly #handle: FileHandle | undefined
  readonly #server: Server
  /** Device and number of the file that was opened. */
  #opened: string | undefined

  private constructor(path: string, server: Server, handle: FileHandle | undefined) {
    this.path = path
    this.#server = server
    this.#handle = handle
  }

  /**
   * Rejects with ERR_HANDFAST_CONFIG for a folder that is not for this user alone, and with code
   * EHELD where another process holds it. One that was killed does not.
   */
  static async hold(path: string): Promise<Folder> {
    makePrivateFolder(path)
    // The path of a socket has 100 bytes; that of a folder may be longer.
    const handle = process.platform === 'linux' ? await open(path) : undefined
    const short = handle === undefined ? path : `/proc/self/fd/${handle.fd}`
    try {
      const meeting = await new HostSocket(join(short, 'holder')).meet()
      if (meeting.kind === 'ours') {
        const { server } = meeting
        server.on('connection', socket => {
          socket.on('error', () => {})
          // Who stays is not waited for when the folder is given back.
          socket.end(`${process.pid}`, () => socket.destroy())
        })
        server.unref()
        return new Folder(path, server, handle)
      }
      const pid = await textOf(meeting.stream)
      throw Object.assign(new Error(`process ${pid} holds ${path}`), { code: 'EHELD' })
    } catch (error) {
      await handle?.close()
      throw error
    }
  }

  get data(): string {
    return dataIn(this.path)
  }

  /** Rejects where the disk has no room for a commit. */
  async needRoom(): Promise<void> {
    const probe = join(this.path, 'room')
    try {
      await writeWhole(probe, roomNeeded)
    } finally {
      await rm(probe, { force: true })
    }
  }

  /**
   * LMDB's own would have no place on the disk before it is written to, and where none is left that
   * ends the process.
   */
  async makeLockFile(): Promise<void> {
    try {
      await writeWhole(`${this.data}-lock`, lockFileLength, 'wx')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }

  /**
   * Rejects for a file that is not LMDB's, or was cut short: it would end the process, not say so.
   * False for one that is not there yet, or empty: LMDB makes it.
   */
  async checkFile(): Promise<boolean> {
    const file = await open(this.data, 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return undefined
    })
    if (file === undefined) return false
    try {
      const { size } = await file.stat()
      const first = await file.read(Buffer.alloc(metaLength), 0, metaLength, 0)
      if (size > 0 && !isWhole(first.buffer, size)) {
        throw new Error(`${this.data} is not what LMDB has written`)
      }
      return size > 0
    } finally {
      await file.close()
    }
  }

  /**
   * What was written without fsync is whole only as long as the machine did not stop since. Puts
   * it aside where it did, and says so.
   */
  async checkSync(fsync: boolean): Promise<'trusted' | 'put aside'> {
    const mark = join(this.path, 'unsynced')
    const before = await readFile(mark, 'utf8').catch(() => undefined)
    const boot = bootId()
    const isLost = before !== undefined && (boot === undefined || before !== boot)
    if (isLost) await rename(this.data, `${this.data}.aside`).catch(() => {})
    if (fsync && before !== undefined) await this.synced()
    if (!fsync) await writeFile(mark, boot ?? 'unknown', { mode: 0o600 })
    return isLost ? 'put aside' : 'trusted'
  }

  /** The file is open now: that is the one that has to stay. */
  async noteOpened(): Promise<void> {
    this.#opened = await fileAt(this.data)
  }

  /** False where the path no longer leads to it: nobody would find what is written. */
  async isInPlace(): Promise<boolean> {
    return (await fileAt(this.data)) === this.#opened
  }

  /** All is on the disk. */
  async synced(): Promise<void> {
    const data = await open(this.data, 'r+').catch(() => undefined)
    await data?.sync()
    await data?.close()
    await rm(join(this.path, 'unsynced'), { force: true })
  }

  async release(): Promise<void> {
    await new Promise(resolve => this.#server.close(resolve))
    await this.#handle?.close()
  }
}

/**
 * The first page of a file of LMDB, in the order of this machine: magic at 24, version at 28, size
 * of a page at 48, pages at the root of both trees at 88 and 136 (MDB_meta of its mdb.c).
 */
/** Where a folder has its entries. */
export function dataIn(folder: string): string {
  return join(folder, 'data.mdb')
}

function isWhole(page: Buffer, size: number): boolean {
  const isLittle = endianness() === 'LE'
  const number = (at: number) =>
    isLittle ? page.readUInt32LE(at) : page.readUInt32BE(at)
  const root = (at: number) =>
    isLittle ? page.readBigInt64LE(at) : page.readBigInt64BE(at)
  const pageSize = number(48)
  const isInside = (at: number) => root(at) * BigInt(pageSize) < BigInt(size)
  return (
    number(24) === 0xbeefc0de &&
    (number(28) & 0xffff) === 2 &&
    pageSize >= 512 &&
    size >= 2 * pageSize &&
    isInside(88) &&
    isInside(136)
  )
}

async function fileAt(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return `${dev} ${ino}`
  } catch {
    return undefined
  }
}

async function writeWhole(path: string, length: number, flags = 'w'): Promise<void> {
  const file = await open(path, flags, 0o600)
  try {
    await file.writeFile(Buffer.alloc(length))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Of this start of the machine; undefined where it can't be told. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

function textOf(stream: Socket): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    stream.setTimeout(1_000, () => stream.destroy())
    stream.on('data', chunk => {
      text += chunk.toString('latin1')
    })
    stream.on('error', () => {})
    stream.on('close', () => resolve(/^[0-9]+$/.test(text) ? text : 'of another'))
  })
}
