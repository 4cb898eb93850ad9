import type { Clock, Timer } from '../clock.ts'
import type { Member, Transport } from '../farm/transport.ts'

/**
 * Whether all that was revoked is known here, as far as anybody can know. A member that has met
 * nobody has no ticket keys but its own, younger than itself: there is nothing to lack. From
 * then on it must have been up to date once, be it when this is called; a process of a host with
 * that host's hub, and one that shares a tier with other hosts, too.
 */
export function knowsRevocations(
  transport: Pick<Transport, 'members' | 'isCurrent'>,
  hasOthers: boolean,
): () => boolean {
  const meets = (...states: readonly Member['state'][]) =>
    transport.members().some(({ self, state }) => !self && states.includes(state))
  let knows = meets('ready') && transport.isCurrent()
  let hasMet = hasOthers
  return () => {
    if (knows) return true
    // One that is gone again may have left keys here, and not all that it knew was revoked.
    hasMet ||= meets('joining', 'ready', 'suspect', 'gone')
    if (!hasMet) return true
    knows = transport.isCurrent()
    return knows
  }
}

/** Between two looks while something is lacking, and while nothing is, in milliseconds. */
const lacking = 20
const content = 100

/**
 * Asks until the answer is yes: a member that nobody comes to between its start and the moment it
 * is cut off would else never have noticed that it was up to date.
 */
export class UntilKnown {
  readonly #knows: () => boolean
  readonly #clock: Clock
  #timer: Timer | undefined
  #closed = false

  constructor(knows: () => boolean, clock: Clock) {
    this.#knows = knows
    this.#clock = clock
    this.#look()
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #look(): void {
    if (this.#closed) return
    // A member that is alone knows all there is, and may yet meet another.
    const interval = this.#knows() ? content : lacking
    this.#timer = this.#clock.after(interval, () => this.#look())
  }
}
