import type { Member, Transport } from '../farm/transport.ts'

/**
 * Whether all that was revoked is known here, as far as anybody can know. A member that has met
 * nobody has no ticket keys but its own, younger than itself: there is nothing to lack. From
 * then on it must have been up to date once, be it when this is made; a process of a host with
 * that host's hub, and one that shares a tier with other hosts, too.
 *
 * It looks at each change among the members: one that nobody comes to between its start and the
 * moment it is cut off would else never have noticed that it was up to date.
 */
export class KnownRevocations {
  readonly #transport: Pick<Transport, 'members' | 'isCurrent'>
  readonly #unwatch: () => void
  #hasMet: boolean
  #wasCurrent = false

  constructor(
    transport: Pick<Transport, 'members' | 'isCurrent' | 'watch'>,
    hasOthers: boolean,
  ) {
    this.#transport = transport
    this.#hasMet = hasOthers
    this.#unwatch = transport.watch(() => this.#look())
    this.#look()
  }

  get areAll(): boolean {
    this.#look()
    return this.#wasCurrent || !this.#hasMet
  }

  close(): void {
    this.#unwatch()
  }

  #look(): void {
    if (this.#wasCurrent) return
    // One that is gone again may have left keys here, and not all that it knew was revoked.
    this.#hasMet ||= this.#transport
      .members()
      .some(({ self, state }) => !self && leavesKeys[state])
    this.#wasCurrent = this.#hasMet && this.#transport.isCurrent()
    if (this.#wasCurrent) this.#unwatch()
  }
}

const leavesKeys: { readonly [state in Member['state']]: boolean } = {
  joining: true,
  ready: true,
  suspect: true,
  gone: true,
  left: false,
  refused: false,
}
