import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Sessions in Redis under `tls:<id>`, with the expiry everybody gives them. */
export interface RedisSessionStore {
  /** Which client talks to Redis. */
  readonly client: string
  get(id: Buffer): Promise<Buffer | null>
  set(id: Buffer, session: Buffer): Promise<void>
}

const lifetime = '3600'

/**
 * Through ioredis where it is installed: the recipe people copy. Else through a client of our
 * own that knows two commands and does nothing else, which flatters Redis.
 */
export async function openSessionStore(port: number): Promise<RedisSessionStore> {
  const name: string = 'ioredis'
  let module: { default: new (options: object) => IoRedis }
  try {
    module = await import(name)
  } catch {
    return await MinimalRedis.connect(port)
  }
  const redis = new module.default({ host: '127.0.0.1', port })
  return {
    client: 'ioredis',
    get: id => redis.getBuffer(keyOf(id)),
    set: async (id, session) => {
      await redis.setex(keyOf(id), lifetime, session)
    },
  }
}

interface IoRedis {
  getBuffer(key: string): Promise<Buffer | null>
  setex(key: string, seconds: string, value: Buffer): Promise<unknown>
}

type Waiter = { resolve(value: Buffer | null): void; reject(error: Error): void }

/** GET and SETEX in RESP 2, pipelined over one connection. */
class MinimalRedis implements RedisSessionStore {
  readonly client = 'a minimal RESP client (ioredis is not installed)'
  readonly #socket: Socket
  readonly #waiting: Waiter[] = []
  #unread: Buffer = Buffer.alloc(0)

  static async connect(port: number): Promise<MinimalRedis> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new MinimalRedis(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.#read(bytes))
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('redis closed the connection')))
  }

  get(id: Buffer): Promise<Buffer | null> {
    return this.#ask(['GET', keyOf(id)])
  }

  async set(id: Buffer, session: Buffer): Promise<void> {
    await this.#ask(['SETEX', keyOf(id), lifetime, session])
  }

  #ask(parts: readonly (string | Buffer)[]): Promise<Buffer | null> {
    const chunks = parts.flatMap(part => [
      Buffer.from(`$${Buffer.byteLength(part)}\r\n`),
      Buffer.from(part as string),
      Buffer.from('\r\n'),
    ])
    this.#socket.write(Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...chunks]))
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  #read(bytes: Buffer): void {
    this.#unread =
      this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes])
    for (;;) {
      const lineEnd = this.#unread.indexOf('\r\n')
      if (lineEnd < 0) return
      const kind = this.#unread[0]
      let value: Buffer | null = null
      let end = lineEnd + 2
      if (kind === 0x24) {
        const length = Number(this.#unread.toString('latin1', 1, lineEnd))
        if (length >= 0) {
          if (this.#unread.length < end + length + 2) return
          value = this.#unread.subarray(end, end + length)
          end += length + 2
        }
      }
      const waiter = this.#waiting.shift()
      if (kind === 0x2d) waiter?.reject(new Error('redis refused a command'))
      else waiter?.resolve(value)
      this.#unread = this.#unread.subarray(end)
    }
  }

  #fail(error: Error): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error)
  }
}

function keyOf(id: Buffer): string {
  return `tls:${id.toString('hex')}`
}
