import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync, type Stats, statSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import { type Basis, isSubject, type MakeBasis } from '../identity.ts'
import type { Asker } from '../request/asker.ts'
import type { Bcrypt } from './bcrypt.ts'
import { causeOf } from './method.ts'

const maxFileBytes = 4 * 1024 * 1024
/** How often the file is looked at, at most, in milliseconds. */
const refreshInterval = 1_000
/** Longest wait for a look, in milliseconds. */
const lookTimeout = 250
/** Each step doubles the work; 14 takes about a second. */
const maxCost = 14
/** bcrypt of nothing anybody knows, for a file without users. */
const emptyFileHash = '$2b$10$CwTycUXWue0Thq9StjUM0uJ8W0rrwzDmJ9Mu1jHF7l8Yf8jEhZb1C'

/**
 * Users from an htpasswd file: lines `user:hash`, bcrypt only (`htpasswd -B`). The file is read
 * again when it has changed; one that can't be read or understood leaves the users as they were.
 */
export class Htpasswd {
  readonly #path: string
  readonly #bcrypt: Bcrypt
  readonly #clock: Clock
  readonly #log: Log
  readonly #makeBasis: MakeBasis
  readonly #decoyKey = randomBytes(32)
  #users: ReadonlyMap<string, string>
  /** Of the users as they are now, made when they are asked for. */
  #bases = new Map<string, Basis>()
  #stamp: string
  /** Why it could not be read the last time; said once. */
  #trouble: string | undefined
  #lookedAt: number
  #looking: Promise<void> | undefined
  #onChange: () => void = () => {}

  /** Throws ERR_HANDFAST_CONFIG when the file is no htpasswd file with bcrypt hashes. */
  constructor(path: string, { bcrypt, clock, log, makeBasis }: HtpasswdContext) {
    this.#path = path
    this.#bcrypt = bcrypt
    this.#clock = clock
    this.#log = log
    this.#makeBasis = makeBasis
    try {
      this.#stamp = stampOf(statSync(path))
      this.#users = parseHtpasswd(readFileSync(path), path)
    } catch (cause) {
      if (cause instanceof HandfastError) throw cause
      const text = `htpasswd file ${path} can't be read: ${causeOf(cause)}`
      throw new HandfastError('ERR_HANDFAST_CONFIG', text)
    }
    this.#lookedAt = clock.monotonic()
  }

  /**
   * The basis of the hash that the password fits; undefined when it can't be told now. Takes as
   * long for a user who does not exist.
   */
  async verify(
    user: string,
    password: string,
    asker?: Asker,
  ): Promise<Basis | false | undefined> {
    await this.refresh()
    const hash = this.#users.get(user)
    const against = hash ?? this.#decoyFor(user)
    const equal = await this.#bcrypt.compare(password, against, asker)
    if (equal === undefined) return undefined
    // Of the hash that was compared, whatever the file says by now.
    return equal && hash !== undefined && this.#makeBasis(hash)
  }

  /** Calls back when other users have been read. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  /** Stands for the user's hash as it is in the file now; undefined when there is none. */
  basisOf(user: string): Basis | undefined {
    let basis = this.#bases.get(user)
    const hash = basis === undefined ? this.#users.get(user) : undefined
    if (hash !== undefined) {
      basis = this.#makeBasis(hash)
      this.#bases.set(user, basis)
    }
    return basis
  }

  /**
   * Reads the file again if it has changed, at most once a second; undefined when it is too
   * early to look. Never rejects, and never takes long.
   */
  refresh(): Promise<void> | undefined {
    const now = this.#clock.monotonic()
    if (this.#looking === undefined && now - this.#lookedAt >= refreshInterval) {
      this.#lookedAt = now
      const look = this.#look()
      this.#looking = new Promise(resolve => {
        // A file system that hangs must not stop all requests: the users are as they were.
        const timer = this.#clock.after(lookTimeout, resolve)
        void look.then(() => {
          timer.cancel()
          this.#looking = undefined
          resolve()
        })
      })
    }
    return this.#looking
  }

  async #look(): Promise<void> {
    try {
      const stamp = stampOf(await stat(this.#path))
      if (stamp === this.#stamp) {
        this.#trouble = undefined
        return
      }
      const bytes = await readFile(this.#path)
      this.#trouble = undefined
      // A bad file is reported once, not once a second; one that can't be read just now, for want
      // of descriptors or rights, is read when it can.
      this.#stamp = stamp
      this.#users = parseHtpasswd(bytes, this.#path)
      this.#bases = new Map()
      const users = this.#users.size
      this.#log.info({ file: this.#path, users }, 'htpasswd file read again')
      this.#onChange()
    } catch (error) {
      const cause = error instanceof HandfastError ? error.message : causeOf(error)
      if (cause === this.#trouble) return
      this.#trouble = cause
      const fields = { file: this.#path, cause }
      this.#log.error(fields, 'htpasswd file not taken, the users stay as they were')
    }
  }

  /**
   * The hash of another user, always the same one for a name: so the time of an answer follows
   * the costs in the file and does not tell who is in it.
   */
  #decoyFor(user: string): string {
    const hashes = [...this.#users.values()]
    const draw = createHmac('sha256', this.#decoyKey).update(user).digest().readUInt32BE()
    return hashes[draw % Math.max(1, hashes.length)] ?? emptyFileHash
  }
}

export interface HtpasswdContext {
  readonly bcrypt: Bcrypt
  readonly clock: Clock
  readonly log: Log
  readonly makeBasis: MakeBasis
}

/** User name to hash. An error names the line and what is wrong with it, never the hash. */
export function parseHtpasswd(bytes: Buffer, path: string): ReadonlyMap<string, string> {
  if (bytes.length > maxFileBytes) throw bad(path, 'is larger than 4 MiB')
  const users = new Map<string, string>()
  const lines = bytes
    .toString()
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
  for (const [index, text] of lines.entries()) {
    const line = text.trim()
    if (line === '' || line.startsWith('#')) continue
    const where = `line ${index + 1}`
    const colon = line.indexOf(':')
    if (colon < 1) throw bad(path, `${where} is not user:hash`)
    const user = line.slice(0, colon)
    const hash = line.slice(colon + 1)
    if (!isSubject(user)) throw bad(path, `${where} has a user name that can't be used`)
    if (users.has(user)) throw bad(path, `${where} names a user for the second time`)
    const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(hash)
    if (bcrypt === null) {
      throw bad(path, `${where} has ${kindOf(hash)}; only bcrypt is taken (htpasswd -B)`)
    }
    const cost = Number(bcrypt[1])
    if (cost < 4 || cost > maxCost) {
      throw bad(path, `${where} has a bcrypt cost of ${cost}; 4 to ${maxCost} are taken`)
    }
    users.set(user, hash)
  }
  return users
}

function kindOf(hash: string): string {
  if (hash.startsWith('$apr1$')) return 'an Apache MD5 hash'
  if (hash.startsWith('{SHA}')) return 'an unsalted SHA-1 hash'
  if (hash.startsWith('$5$') || hash.startsWith('$6$')) return 'a SHA crypt hash'
  if (/^\$2/.test(hash)) return 'a damaged bcrypt hash'
  return 'a hash of an unknown kind, or none'
}

function bad(path: string, what: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_CONFIG', `htpasswd file ${path} ${what}`)
}

/** With the time of the inode: a tool that copies may keep the other one. */
function stampOf({ mtimeMs, ctimeMs, size, ino }: Stats): string {
  return `${mtimeMs}:${ctimeMs}:${size}:${ino}`
}
