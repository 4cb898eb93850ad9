import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'

/** Bytes of lines that wait for a reader; what comes beyond them is dropped and counted. */
const mostWaiting = 1024 * 1024
/**
 * POSIX writes so much to a pipe whole or not at all (PIPE_BUF of Linux): lines of several
 * workers in one pipe never tear each other.
 */
const atomic = 4096
/** Bytes that are written to a file at a time, and that wait for the end of a turn at most. */
const fileful = 64 * 1024
/** Milliseconds until a full pipe is tried again; doubled while nothing goes out. */
const firstPause = 1
const longestPause = 64
/** The same for one that is broken: a named pipe may get a new reader. */
const brokenPause = 1_000
const lineEnd = 0x0a
/**
 * With mode 0640: a log names users. Without waiting: a named pipe that nobody reads yet would
 * hold up whoever opens it.
 */
const fileFlags =
  constants.O_WRONLY |
  constants.O_APPEND |
  constants.O_CREAT |
  constants.O_NONBLOCK |
  constants.O_NOCTTY
const anewFlags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY
/** Longest wait at the end of the process for a reader that is only slow. */
const lastWait = 200

export interface LogDestinationOptions {
  /** Called once after each time that lines were dropped, with how many they were. */
  readonly onDropped: (lines: number) => void
}

/**
 * A file descriptor to which lines are written without ever waiting for who reads them: a pipe
 * that is full, a terminal that is stopped or a reader that is gone holds up nothing. A full disk
 * drops lines as a full pipe does.
 *
 * Lines go out at the end of the turn of the event loop, those of one turn together: under load a
 * write for each of them would be a tenth of what a proxied request costs. Who ends the process
 * by force loses that turn's lines at most.
 */
export class LogDestination {
  readonly #open: () => Target
  /** Undefined while a named pipe has no reader. */
  #target: Target | undefined
  readonly #onDropped: (lines: number) => void
  readonly #waiting: Buffer[] = []
  readonly #path: string | undefined
  #waitingBytes = 0
  /** A part of the line at the head has gone out. */
  #begun = false
  /** After lines found no room. */
  #timer: NodeJS.Timeout | undefined
  #turnEnd: NodeJS.Immediate | undefined
  #pause = firstPause
  #droppedNow = 0
  #dropped = 0

  constructor(target: number | string, { onDropped }: LogDestinationOptions) {
    this.#path = typeof target === 'string' ? target : undefined
    this.#open = () =>
      typeof target === 'string' ? openedAt(target) : nonBlocking(target)
    this.#onDropped = onDropped
    try {
      this.#target = this.#open()
    } catch (error) {
      if (!isUnread(error)) throw error
    }
    process.once('exit', this.#flushAtExit)
  }

  /** Lines that were lost since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /**
   * Goes on in a new file at the same path, where it was one: what rotates logs has renamed the
   * old one. Throws when there can be none; then it goes on in the old one.
   */
  reopen(): void {
    if (this.#path === undefined) return
    const fresh = this.#open()
    this.#flush()
    if (this.#begun) this.#dropHead()
    if (this.#target !== undefined) closeSync(this.#target.fd)
    this.#target = fresh
    this.#flushNow()
  }

  /** Writes what it can, and lets go of the file. Nothing may be written any more. */
  close(): void {
    process.off('exit', this.#flushAtExit)
    this.#flushNow()
    clearTimeout(this.#timer)
    if (this.#path !== undefined && this.#target !== undefined) closeSync(this.#target.fd)
    this.#target = undefined
  }

  /** Takes a whole line with its end. Never throws and never waits. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    const { length } = bytes
    if (this.#timer === undefined && this.#waitingBytes + length > fileful) this.#flush()
    if (this.#waitingBytes > 0 && this.#waitingBytes + length > mostWaiting) {
      this.#dropped += 1
      this.#droppedNow += 1
      return
    }
    this.#waiting.push(bytes)
    this.#waitingBytes += length
    if (this.#timer === undefined) this.#turnEnd ??= setImmediate(this.#onTurnEnd)
  }

  /** Bytes that went out. When some did not, a later try is under way. */
  #tryWrite(bytes: Buffer): number {
    try {
      this.#target ??= this.#open()
      this.#target.unblock()
      const written = writeSync(this.#target.fd, bytes)
      this.#pause = firstPause
      this.#begun =
        written > 0 && written < bytes.length && bytes[written - 1] !== lineEnd
      if (written < bytes.length) this.#retryIn(this.#pause)
      return written
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      this.#retryIn(code === 'EAGAIN' ? this.#pause : brokenPause)
      this.#pause = Math.min(2 * this.#pause, longestPause)
      return 0
    }
  }

  #retryIn(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#flush()
    }, ms).unref()
  }

  readonly #onTurnEnd = (): void => {
    this.#turnEnd = undefined
    if (this.#timer === undefined) this.#flush()
  }

  #flushNow(): void {
    clearImmediate(this.#turnEnd)
    this.#turnEnd = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flush()
  }

  #flush(): void {
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup()
      const written = this.#tryWrite(group)
      this.#waitingBytes -= written
      if (written === group.length) continue
      // As one buffer it stays a group of its own, at the head as before.
      this.#waiting.unshift(group.subarray(written))
      return
    }
    if (this.#droppedNow === 0) return
    const lines = this.#droppedNow
    this.#droppedNow = 0
    this.#onDropped(lines)
  }

  /** Takes whole lines off the head, as many as are written in one piece. */
  #nextGroup(): Buffer {
    let count = 1
    let length = this.#waiting[0]?.length ?? 0
    for (; count < this.#waiting.length; count += 1) {
      length += this.#waiting[count]?.length ?? 0
      if (length > (this.#target?.atOnce ?? atomic)) break
    }
    const group = this.#waiting.splice(0, count)
    return group.length === 1 ? (group[0] as Buffer) : Buffer.concat(group)
  }

  /** The rest of a line whose beginning is elsewhere. */
  #dropHead(): void {
    this.#begun = false
    const head = this.#waiting.shift()
    if (head === undefined) return
    const rest = head.subarray(head.indexOf(lineEnd) + 1)
    this.#waitingBytes -= head.length - rest.length
    if (rest.length > 0) this.#waiting.unshift(rest)
    this.#dropped += 1
    this.#droppedNow += 1
  }

  readonly #flushAtExit = (): void => {
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let waited = 0; waited <= lastWait; waited += 10) {
      this.#flushNow()
      if (this.#waiting.length === 0) return
      Atomics.wait(pause, 0, 0, 10)
    }
  }
}

/** A descriptor, and what is done before each write so that the write does not wait. */
interface Target {
  readonly fd: number
  /** Bytes of lines that are written in one piece. */
  readonly atOnce: number
  readonly unblock: () => void
}

function openedAt(path: string): Target {
  const fd = openSync(path, fileFlags, 0o640)
  return { fd, atOnce: fstatSync(fd).isFile() ? fileful : atomic, unblock() {} }
}

/** A named pipe without a reader. */
function isUnread(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENXIO'
}

/**
 * The same place without waiting. Opened anew where the system can, for the flag belongs to
 * what is open, and other processes share that. A socket can't be opened anew: there the flag
 * is set before each write, because Node takes it off at the start and end of each process.
 */
function nonBlocking(fd: number): Target {
  try {
    if (fstatSync(fd).isFile()) return { fd, atOnce: fileful, unblock() {} }
    const again = openSync(`/proc/self/fd/${fd}`, anewFlags)
    return { fd: again, atOnce: atomic, unblock() {} }
  } catch {
    // A socket, or there is no /proc.
  }
  try {
    const socket = new Socket({ fd, readable: false, writable: true }).unref()
    // Not documented, but as old as Node; without it only the first write is sure not to wait.
    const handle = (socket as { _handle?: { setBlocking?(on: boolean): void } })._handle
    const unblock = () => handle?.setBlocking?.(false)
    return { fd, atOnce: atomic, unblock }
  } catch {
    // Neither pipe nor socket: a terminal of a system without /proc. It is written as it is.
    return { fd, atOnce: atomic, unblock() {} }
  }
}
