import { parseAddress } from '../../address.ts'
import type { Clock, Timer } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { LogLimiter } from '../../limit/log-limiter.ts'
import type { Log } from '../../log.ts'
import { maxMembers } from '../../wire/frame-greeting.ts'
import type { OutboundLink } from '../link/outbound-link.ts'
import { tellsOtherName } from '../link/psk.ts'
import { AddressBook } from './address-book.ts'

/** Addresses that lead where a link stands already are looked at so much less often. */
const spareFactor = 10

export interface DiallerParts {
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly forgetAfter: number
  readonly recheckAfter: number
  /** Makes a link, which reports its welcome or its end. */
  readonly connect: (address: string) => OutboundLink
}

/** Dials the addresses of members when it is time to, until each has a link. */
export class Dialler {
  readonly #parts: DiallerParts
  readonly #book: AddressBook
  readonly #limiter: LogLimiter
  readonly #dialling = new Map<string, OutboundLink>()
  /** Second addresses of members, by address. */
  readonly #spares = new Map<string, string>()
  #timer: Timer | undefined
  #closed = false
  /** Addresses at which our secret, version or id was not accepted, and why. */
  readonly refusals: Map<string, string> = new Map()

  constructor(parts: DiallerParts) {
    this.#parts = parts
    this.#limiter = new LogLimiter(parts.clock)
    this.#book = new AddressBook({
      ...parts,
      recheckSpareAfter: spareFactor * parts.recheckAfter,
      maxAddresses: 2 * maxMembers,
    })
  }

  /** There is an address of which nothing is known yet. */
  get untried(): boolean {
    return this.#book.isUntried()
  }

  configure(addresses: readonly string[]): void {
    this.#book.configure(addresses, this.#now())
    this.dial()
  }

  /** Another member told this address; it may be anything. */
  learn(address: string): void {
    if (isDialable(address)) this.#book.learn(address, this.#now())
  }

  /** A member that was just heard of is there: no need to wait out a pause. */
  hint(address: string): void {
    if (isDialable(address)) this.#book.hint(address, this.#now())
  }

  /** Dials what is due, now and when the next is. */
  dial(): void {
    if (this.#closed) return
    for (const address of this.#book.due(this.#now())) {
      this.#dialling.set(address, this.#parts.connect(address))
    }
    this.#timer?.cancel()
    const next = this.#book.nextAt()
    if (next === undefined) return
    const wait = Math.max(1, next - this.#now())
    this.#timer = this.#parts.clock.after(wait, () => this.dial())
  }

  /** The other end has said who it is; `linked` or `setAside` follows. */
  welcomed({ address }: OutboundLink): void {
    this.refusals.delete(address)
    this.#dialling.delete(address)
  }

  linked({ address }: OutboundLink): void {
    this.#spares.delete(address)
    this.#book.linked(address)
  }

  /** It led to ourselves, or there is no room for the member. */
  setAside({ address }: OutboundLink): void {
    this.#book.setAside(address, this.#now(), false)
  }

  /** Another address of the member leads to it as well, and has the link now. */
  spare({ address, peer }: OutboundLink): void {
    if (peer !== undefined) this.#spares.set(address, peer.id)
    this.#book.setAside(address, this.#now(), true)
  }

  /** The member took its leave. */
  left({ address, peer }: OutboundLink): void {
    this.#book.left(address)
    for (const [spare, id] of this.#spares) if (id === peer?.id) this.#book.left(spare)
  }

  /** Addresses from the options at which nobody is met, and since when. */
  missed(): { address: string; since: number }[] {
    return this.#book.missed()
  }

  /** A link that stood has ended. */
  lost({ address, peer }: OutboundLink): void {
    this.#book.failed(address, this.#now())
    for (const [spare, id] of this.#spares) {
      if (id !== peer?.id) continue
      this.#spares.delete(spare)
      this.#book.hint(spare, this.#now())
    }
  }

  /** True when the link ended before it stood; that is then dealt with. */
  failed(link: OutboundLink, error: Error | undefined): boolean {
    const { address } = link
    if (this.#dialling.get(address) !== link) return false
    this.#dialling.delete(address)
    this.#book.failed(address, this.#now())
    const { log } = this.#parts
    const reason = error?.message.trim() ?? 'connection closed'
    if (error === undefined || !isRefusal(error)) {
      log.debug({ address, reason }, 'member not reached')
      return true
    }
    const words = refusalWords(error, reason)
    this.refusals.set(address, words)
    this.#limiter.log(heldBack => {
      const fields = { address, reason: words, heldBack }
      log.warn(fields, 'refused by the member at this address')
    })
    return true
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const link of this.#dialling.values()) link.destroy()
  }

  #now(): number {
    return this.#parts.clock.monotonic()
  }
}

export function isDialable(address: string): boolean {
  try {
    parseAddress(address)
    return true
  } catch {
    return false
  }
}

/** Which option is in the way, as far as the other end lets it be known. */
function refusalWords(error: NodeJS.ErrnoException, reason: string): string {
  if (error instanceof HandfastError) return reason
  if (tellsOtherName(error.code)) return 'its farm has another name (option name)'
  return `${reason}; is its secret the same?`
}

/** The other end answered, but not as a member does that shares our secret. */
function isRefusal(error: NodeJS.ErrnoException): boolean {
  if (error instanceof HandfastError) return error.code === 'ERR_HANDFAST_JOIN'
  if (error.code === undefined) return error.message.startsWith('a certificate')
  return error.syscall === undefined && error.code !== 'ECONNRESET'
}
