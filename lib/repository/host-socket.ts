import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { HandfastError } from '../errors.ts'
import { makePrivateFolder } from '../private-folder.ts'

const keyLength = 32
const taken = '.taken'
/** Bytes of a socket's path: sockaddr_un has room for 104 with the zero, on Linux for 108. */
const longestPath = process.platform === 'linux' ? 107 : 103
/** Between two looks for the hub after the one that is gone, ms. */
const followPause = 20
/** Of the path, for a slash and the number. */
const numberRoom = 8

/** What a process found where the processes of its host meet. */
export type Meeting =
  | { readonly kind: 'hub'; readonly stream: Socket }
  /**
   * Nobody is there: this process is the hub, and hears the others. `isFirst`: nobody ever was, so
   * that there can't be others that served beside a hub.
   */
  | { readonly kind: 'ours'; readonly server: Server; readonly isFirst: boolean }

/**
 * Where the processes of a host meet: a folder for this user alone, with the hub's socket in
 * it. The name of the socket is a number, and each hub takes the one above that of the hub
 * before it, which is gone: to bind is the only way to take a number, and only one can.
 */
export class HostSocket {
  readonly folder: string

  /** Makes the folder. Throws ERR_HANDFAST_CONFIG when others can get into it, or it can't hold a socket. */
  constructor(folder: string) {
    this.folder = folder
    const room = longestPath - numberRoom
    if (Buffer.byteLength(folder) > room) {
      throw new HandfastError(
        'ERR_HANDFAST_CONFIG',
        `${folder} must be a path of at most ${room} bytes, for a socket to be in it`,
      )
    }
    makePrivateFolder(this.folder)
  }

  /** A key that the processes of this folder share, for a farm without a secret. */
  key(): Buffer {
    const path = join(this.folder, 'key')
    // Whoever comes later needs no room.
    if (existsSync(path)) return readFileSync(path)
    const own = join(this.folder, `key-${randomBytes(8).toString('hex')}`)
    try {
      writeFileSync(own, randomBytes(keyLength), { mode: 0o600, flag: 'wx' })
      // Whole from the moment it has this name, and the first one stands.
      linkSync(own, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(own, { force: true })
    }
    return readFileSync(path)
  }

  /**
   * Finds the hub, or becomes it. Rejects when neither can be. Where there was a hub, others may
   * be about to follow it: they are given `patience`, in ms.
   */
  async meet(patience = 0): Promise<Meeting> {
    makePrivateFolder(this.folder)
    const endsAt = performance.now() + patience
    for (;;) {
      const newest = this.#newest()
      const stream = newest > 0 ? await connectTo(this.#path(newest)) : undefined
      if (stream !== undefined) return { kind: 'hub', stream }
      if (newest > 0 && performance.now() < endsAt) {
        await setTimeout(followPause)
        continue
      }
      const server = await listenAt(this.#path(newest + 1))
      // Another was as fast, and had to look again just as this one does now.
      if (server === undefined) continue
      // The socket's name goes when its server is closed; the number must not come again.
      writeFileSync(`${this.#path(newest + 1)}${taken}`, '', { mode: 0o600 })
      if (this.#newest() === newest + 1) {
        this.#removeUpTo(newest)
        return { kind: 'ours', server, isFirst: newest === 0 }
      }
      server.close()
    }
  }

  #path(number: number): string {
    return join(this.folder, `${number}`)
  }

  #newest(): number {
    return Math.max(0, ...readdirSync(this.folder).map(numberOf))
  }

  #removeUpTo(number: number): void {
    for (const name of readdirSync(this.folder)) {
      const other = numberOf(name)
      if (other > 0 && other <= number) rmSync(join(this.folder, name), { force: true })
    }
  }
}

/** 0 for what has no number. */
function numberOf(name: string): number {
  return Number(/^([0-9]+)(\.taken)?$/.exec(name)?.[1] ?? 0)
}

/** Undefined when nobody listens there any more. */
async function connectTo(path: string): Promise<Socket | undefined> {
  const socket = createConnection(path)
  try {
    await once(socket, 'connect')
    return socket
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (['ECONNREFUSED', 'ENOENT', 'ECONNRESET'].includes(code)) return undefined
    throw error
  }
}

/** Undefined when another was faster. */
async function listenAt(path: string): Promise<Server | undefined> {
  const server = createServer()
  try {
    // Exclusive: node:cluster would bind in the primary, and share it.
    server.listen({ path, exclusive: true })
    await once(server, 'listening')
    return server
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined
    throw error
  }
}
