import { type Address, formatAddress } from '../../lib/address.ts'
import type { Clock, Timer } from '../../lib/clock.ts'
import { HandfastError } from '../../lib/errors.ts'

/** RESP 2: simple strings are text, bulk strings bytes, integers numbers. */
export type Reply = Buffer | string | number | null | readonly Reply[]

/** What Redis is told: the name of a command and its arguments. */
export type Command = readonly (string | Buffer)[]

export interface Login {
  readonly username?: string | undefined
  readonly password?: string | undefined
}

/** As tls.connect takes it. */
export interface TlsOptions {
  /** Whom to trust, PEM. Default: whom Node trusts. */
  readonly ca?: string | Buffer | undefined
  /** A certificate of our own and its key, PEM, where the server asks for one. */
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  /** The name that the server's certificate must have. Default: the host. */
  readonly servername?: string | undefined
}

export interface ConnectionOptions extends Login {
  readonly address: Address
  readonly clock: Clock
  /** Number of the database. Default 0. */
  readonly database?: number | undefined
  readonly tls?: TlsOptions | undefined
  /** Longest wait for TCP, TLS and log-in together, ms. */
  readonly connectTimeout: number
  /** Ends when it says nothing for so long while an answer is due, ms. */
  readonly silence: number
  /** Ends the attempt; a connection that stands is left alone. */
  readonly signal?: AbortSignal | undefined
}

/** What a script may not is an ERR to Redis 6 and 7, and to 7.2 and Valkey in other words. */
export const scriptDenials: readonly string[] = [
  "The user executing the script can't",
  'ACL failure in script',
]

/** Redis answered, with an error. */
export class RefusedByRedis extends Error {
  /** First word of the answer: `MOVED`, `READONLY`, `WRONGPASS`. */
  readonly code: string
  /** Where MOVED and ASK lead, `host:port`. */
  readonly target: string | undefined

  /** The rest of what it said is not repeated: it may repeat what it was told. */
  constructor(said: string) {
    const [first = ''] = /^[A-Z]{1,20}\b/.exec(said) ?? []
    const isDenied = scriptDenials.some(words => said.includes(words))
    const code = isDenied ? 'NOPERM' : first
    super(`Redis refuses: ${code === '' ? 'an error without a name' : code}`)
    this.name = 'RefusedByRedis'
    this.code = code
    this.target = /^(?:MOVED|ASK) \d+ (\S{1,300})$/.exec(said)?.[1]
  }
}

/** There was no answer, and it is not known whether there was an effect. */
export class RedisUnreachable extends Error {
  constructor(address: Address | undefined, why: string) {
    super(`Redis${address ? ` at ${formatAddress(address)}` : ''}: ${why}`)
    this.name = 'RedisUnreachable'
  }
}

/** Answers under way at once; beyond it calls fail. */
const mostWaiting = 8_192
/** Bytes without one whole answer. */
const longestAnswer = 32 * 1024 * 1024

/**
 * One connection to one server, from log-in to its end; nothing is queued while there is none,
 * and it never comes back. Whoever is at the other end may be hostile: answers have a bound and
 * a time, and what can't be understood ends the connection.
 */
export class Connection {
  readonly address: Address
  /** `standalone`, `cluster` or `sentinel`. */
  readonly mode: string
  readonly isMaster: boolean
  readonly #client: Client
  readonly #isReply: (error: unknown) => error is Error
  readonly #options: ConnectionOptions
  readonly #onEnd: (() => void)[] = []
  #waiting = 0
  #heardAt = 0
  #unanswered = 0
  #watch: Timer | undefined
  #ended: RedisUnreachable | undefined

  /**
   * Rejects with RefusedByRedis (WRONGPASS, NOAUTH, NOPERM), or with RedisUnreachable; neither
   * shows the password.
   */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const { address, clock, connectTimeout, signal } = options
    const redis = await redisPackage()
    if (signal?.aborted) throw new RedisUnreachable(address, 'closed')
    const client = clientOf(redis, options)
    let failure = 'no answer in time'
    client.on('error', error => {
      failure = codeOf(error)
    })
    const end = () => endClient(client)
    const timer = clock.after(connectTimeout, end)
    signal?.addEventListener('abort', end, { once: true })
    try {
      await client.connect()
      const said = await client.sendCommand(['HELLO', '2'])
      const isReply = (error: unknown) => error instanceof redis.ErrorReply
      return new Connection(
        options,
        client,
        isReply,
        greetingOf(said as unknown as Reply),
      )
    } catch (error) {
      endClient(client)
      if (error instanceof redis.ErrorReply) throw new RefusedByRedis(error.message)
      if (error instanceof TooOld) throw new RedisUnreachable(address, error.message)
      throw new RedisUnreachable(address, failure)
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', end)
    }
  }

  private constructor(
    options: ConnectionOptions,
    client: Client,
    isReply: (error: unknown) => error is Error,
    greeting: Greeting,
  ) {
    this.#options = options
    this.#client = client
    this.#isReply = isReply
    this.address = options.address
    this.mode = greeting.mode
    this.isMaster = greeting.role === 'master'
    client.on('error', error => this.#end(codeOf(error)))
    client.on('end', () => this.#end('closed'))
    boundAnswers(client, length => {
      this.#heardAt = options.clock.monotonic()
      this.#unanswered += length
      if (this.#unanswered > longestAnswer) this.#end('an answer that is too long')
    })
  }

  get isOpen(): boolean {
    return this.#ended === undefined
  }

  /** Calls `listener` once, at the end or now if it has come. */
  onEnd(listener: () => void): void {
    if (this.#ended === undefined) this.#onEnd.push(listener)
    else listener()
  }

  /**
   * Rejects with RefusedByRedis or RedisUnreachable. `patience`: how long this one may keep the
   * connection silent for, in ms, beyond what others may.
   */
  call(command: Command, patience = 0): Promise<Reply> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    if (this.#waiting >= mostWaiting) {
      return Promise.reject(
        new RedisUnreachable(this.address, 'too many calls under way'),
      )
    }
    this.#waiting += 1
    if (this.#waiting === 1) {
      this.#heardAt = this.#options.clock.monotonic()
      this.#watchOver(patience)
    }
    return this.#client.sendCommand(command as (string | Buffer)[]).then(
      reply => {
        this.#answered()
        return reply as unknown as Reply
      },
      error => {
        this.#answered()
        if (this.#isReply(error)) throw new RefusedByRedis(error.message)
        throw this.#ended ?? new RedisUnreachable(this.address, codeOf(error))
      },
    )
  }

  close(): void {
    this.#end('closed')
  }

  #answered(): void {
    this.#waiting -= 1
    this.#unanswered = 0
    if (this.#waiting > 0) return
    this.#watch?.cancel()
    this.#watch = undefined
  }

  /** Answers come in order, so one that is awaited and any that comes are signs of life. */
  #watchOver(patience: number): void {
    const { clock, silence } = this.#options
    const longest = silence + patience
    const look = () => {
      const left = this.#heardAt + longest - clock.monotonic()
      if (left <= 0) this.#end(`no answer for ${longest} ms`)
      else this.#watch = clock.after(left, look)
    }
    this.#watch = clock.after(longest, look)
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return
    this.#ended = new RedisUnreachable(this.address, why)
    this.#watch?.cancel()
    endClient(this.#client)
    for (const listener of this.#onEnd.splice(0)) listener()
  }
}

interface Greeting {
  readonly mode: string
  readonly role: string
}

type Client = ReturnType<typeof clientOf>

type RedisPackage = typeof import('redis')

/** Loaded by who uses Redis: nobody else has to have it. */
async function redisPackage(): Promise<RedisPackage> {
  try {
    return await import('redis')
  } catch (cause) {
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      'redis: the package redis is not there: npm install redis',
      { cause },
    )
  }
}

// One that reconnects and queues by itself would hide what the callers have to know.
function clientOf(
  { createClient, RESP_TYPES }: RedisPackage,
  options: ConnectionOptions,
) {
  const { address, tls, username, password, database = 0, connectTimeout } = options
  const { host, port } = address
  const socket = { host, port, connectTimeout, reconnectStrategy: false as const }
  return createClient({
    RESP: 2,
    socket: tls === undefined ? socket : { ...socket, ...trustOf(tls, host), tls: true },
    ...(password !== undefined && { password, username: username ?? 'default' }),
    database,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // A timer for each command would cost more than the command.
    commandOptions: {
      timeout: 0,
      typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer },
    },
  })
}

/** Version 5 throws where nothing is left to end. */
function endClient(client: Client): void {
  try {
    client.destroy()
  } catch {
    // It has ended.
  }
}

function trustOf({ ca, cert, key, servername }: TlsOptions, host: string): object {
  const isName = !/^[\d.]+$|:/.test(host)
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...((servername ?? isName) && { servername: servername ?? host }),
    minVersion: 'TLSv1.2',
  }
}

/** The client reads answers of any length; its decoder is where their bytes come by. */
function boundAnswers(client: Client, onBytes: (length: number) => void): void {
  const { decoder } = client._getQueue()
  const write = decoder.write.bind(decoder)
  decoder.write = chunk => {
    onBytes(chunk.length)
    write(chunk)
  }
}

class TooOld extends Error {}

/** HELLO needs no permission, and says what INFO would need one for. */
function greetingOf(reply: Reply): Greeting {
  const fields = new Map<string, string>()
  if (Array.isArray(reply)) {
    for (let at = 0; at + 1 < reply.length; at += 2) {
      fields.set(String(reply[at]), String(reply[at + 1]).slice(0, 40))
    }
  }
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(fields.get('version') ?? '') ?? []
  if (Number(major) < 6 || (Number(major) === 6 && Number(minor) < 2)) {
    throw new TooOld(`version ${major}.${minor}, 6.2 or later is needed`)
  }
  return { mode: fields.get('mode') ?? '', role: fields.get('role') ?? '' }
}

/** What is known of an error without what it may repeat. */
function codeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown }
  if (typeof code === 'string' && /^[A-Z0-9_]{1,60}$/.test(code)) return code
  return typeof name === 'string' && name !== 'Error'
    ? name.slice(0, 60)
    : 'connection lost'
}
