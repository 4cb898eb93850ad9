import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../clock.ts'
import { handleOf, type SystemHandle } from '../guardian/system-handle.ts'
import type { InterfaceAddresses } from '../native/interface-addresses.ts'
import type { NativeSocket } from '../native/native-socket.ts'

/** From the process that serves to its watchdog. */
export type ToWatchdog =
  /** With a duplicate of a socket. */
  | { readonly type: 'hold'; readonly id: number }
  /** The socket is closed. */
  | { readonly type: 'retire'; readonly id: number }
  /** Virtual addresses that are here now. */
  | {
      readonly type: 'addresses'
      readonly interface: string
      readonly addresses: readonly string[]
    }
  /** The process ends in order. */
  | { readonly type: 'over' }

/** Calls back when the message is on its way, or will never be. */
export type TellWatchdog = (
  message: ToWatchdog,
  handle: SystemHandle | undefined,
  done: () => void,
) => void

/** Milliseconds: connections that are over sooner are none of its business. */
const ripe = 50
/** Messages that may be on their way. */
const mostOnTheWay = 1_000

/** The watchdog, as the process that serves sees it. */
export class Watchdog {
  readonly #tell: TellWatchdog
  readonly #clock: Clock
  /** In the order in which they came. */
  readonly #young = new Map<Socket, number>()
  readonly #held = new Map<Socket, number>()
  #addresses: Extract<ToWatchdog, { type: 'addresses' }> | undefined
  #timer: Timer | undefined
  /** Ids of those that are still on their way. */
  readonly #unsent = new Set<number>()
  #onTheWay = 0
  #lastId = 0
  #closed = false

  constructor(tell: TellWatchdog, clock: Clock) {
    this.#tell = tell
    this.#clock = clock
  }

  /** Connections that have been given to it. */
  get size(): number {
    return [...this.#held.values()].filter(id => !this.#unsent.has(id)).length
  }

  /** From now on, or soon, the connection does not end with this process. */
  watch(socket: Socket): void {
    if (this.#closed) return
    this.#young.set(socket, this.#clock.monotonic())
    socket.once('close', () => {
      this.#young.delete(socket)
      const id = this.#held.get(socket)
      this.#held.delete(socket)
      // Never put off: as long as the duplicate is open the client can't be told that it is over.
      if (id !== undefined) this.#send({ type: 'retire', id }, undefined)
    })
    this.#timer ??= this.#clock.after(ripe, () => this.#look())
  }

  /** Addresses that must go when this process is gone. */
  addresses(name: string, addresses: readonly string[]): void {
    this.#addresses = { type: 'addresses', interface: name, addresses }
    if (!this.#closed) this.#send(this.#addresses, undefined)
  }

  /** It is another one from now on, that has nothing yet. */
  renew(): void {
    for (const [socket] of this.#held) this.#young.set(socket, -ripe)
    this.#held.clear()
    if (this.#addresses !== undefined) this.#send(this.#addresses, undefined)
    this.#look()
  }

  /** All that is open ends in order. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#send({ type: 'over' }, undefined)
  }

  #look(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const now = this.#clock.monotonic()
    for (const [socket, since] of this.#young) {
      if (now - since < ripe || this.#onTheWay >= mostOnTheWay) break
      this.#young.delete(socket)
      const handle = handleOf(socket)
      if (handle === undefined) continue
      this.#lastId += 1
      this.#held.set(socket, this.#lastId)
      this.#send({ type: 'hold', id: this.#lastId }, handle)
    }
    if (this.#young.size === 0 || this.#closed) return
    this.#timer = this.#clock.after(ripe, () => this.#look())
  }

  #send(message: ToWatchdog, handle: SystemHandle | undefined): void {
    const id = message.type === 'hold' ? message.id : undefined
    this.#onTheWay += 1
    if (id !== undefined) this.#unsent.add(id)
    this.#tell(message, handle, () => {
      this.#onTheWay -= 1
      if (id !== undefined) this.#unsent.delete(id)
    })
  }
}

export interface LastWatchParts {
  readonly native: Pick<NativeSocket, 'block' | 'silence'>
  readonly addresses: InterfaceAddresses
}

/**
 * What the watchdog has: a duplicate of each socket, so that the kernel ends none of them when the
 * process that serves is killed while its host lives. Then it ends them itself, without a word to
 * any client, after it has taken away what would answer for them.
 */
export class LastWatch {
  readonly #parts: LastWatchParts
  readonly #handles = new Map<number, SystemHandle>()
  #here: Extract<ToWatchdog, { type: 'addresses' }> | undefined

  constructor(parts: LastWatchParts) {
    this.#parts = parts
  }

  /** True: the process ends in order, and this one may, too. */
  heard(message: ToWatchdog, handle: SystemHandle | undefined): boolean {
    switch (message.type) {
      case 'hold':
        if (handle !== undefined) this.#handles.set(message.id, handle)
        break
      case 'retire':
        this.#handles.get(message.id)?.close()
        this.#handles.delete(message.id)
        break
      case 'addresses':
        this.#here = message
        break
      case 'over':
        for (const one of this.#handles.values()) one.close()
        this.#handles.clear()
        return true
    }
    return false
  }

  /** The process is gone. How many connections stand still now. */
  orphaned(): number {
    const { native, addresses } = this.#parts
    const handles = [...this.#handles.values()]
    this.#handles.clear()
    for (const { fd } of handles) attempt(() => native.block(fd))
    for (const address of this.#here?.addresses ?? []) {
      attempt(() => addresses.remove(this.#here?.interface ?? '', address))
    }
    for (const handle of handles) {
      attempt(() => native.silence(handle.fd))
      handle.close()
    }
    return handles.length
  }
}

/** The next one is to be seen to in any case. */
function attempt(act: () => void): void {
  try {
    act()
  } catch {
    // A socket that has come to its end meanwhile, an interface that is gone.
  }
}
