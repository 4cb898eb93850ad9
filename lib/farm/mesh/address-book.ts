export interface AddressBookOptions {
  /** 0 up to 1; spreads the attempts of many members over time. */
  readonly random: () => number
  /** First and longest wait between two attempts. */
  readonly backoff?: { readonly first: number; readonly longest: number } | undefined
  /** After this long an address that a member told us, and that nobody answers, is dropped. */
  readonly forgetAfter: number
  /** After this long an address that led to ourselves is tried again ... */
  readonly recheckAfter: number
  /** ... and one that led to a member which has a link by another address. */
  readonly recheckSpareAfter: number
  readonly maxAddresses: number
}

/**
 * The addresses (`host:port`, host an IP address) at which members may be, and when to dial
 * which. It does not dial.
 *
 * An address that led to this member itself is not crossed off for ever: who stands between
 * two members could relay a call back to its caller once and so keep them apart.
 */
export class AddressBook {
  readonly #options: AddressBookOptions
  readonly #entries = new Map<string, AddressEntry>()

  constructor(options: AddressBookOptions) {
    this.#options = options
  }

  /** The addresses from the options, all of them; those of before that are not in it go. */
  configure(addresses: Iterable<string>, now: number): void {
    for (const entry of this.#entries.values()) entry.configured = false
    for (const address of addresses) {
      const entry = this.#entries.get(address)
      if (entry === undefined) this.#add(address, true, now)
      else entry.configured = true
    }
  }

  /** An address that another member told. */
  learn(address: string, now: number): void {
    const entry = this.#entries.get(address)
    if (entry === undefined) this.#add(address, false, now)
    else entry.heardAt = now
  }

  /** The member at this address has just been seen alive: don't wait out the back-off. */
  hint(address: string, now: number): void {
    this.learn(address, now)
    const entry = this.#entries.get(address)
    if (entry?.state === 'waiting') entry.dueAt = now
  }

  /** The addresses to dial now. Each must be followed by `linked`, `failed` or `set aside`. */
  due(now: number): string[] {
    const due: string[] = []
    for (const [address, entry] of this.#entries) {
      if (entry.state !== 'waiting') continue
      const forgotten = now - entry.heardAt > this.#options.forgetAfter
      if (!entry.configured && forgotten) this.#entries.delete(address)
      else if (entry.dueAt <= now) {
        entry.state = 'dialling'
        due.push(address)
      }
    }
    return due
  }

  linked(address: string): void {
    const entry = this.#entries.get(address)
    if (entry === undefined) return
    entry.missed = true
    entry.state = 'linked'
    entry.failures = 0
    entry.tried = true
  }

  /** The attempt failed, or the link ended. */
  failed(address: string, now: number): void {
    const entry = this.#entries.get(address)
    if (entry === undefined) return
    if (entry.state === 'linked') entry.heardAt = now
    const { first = 100, longest = 5_000 } = this.#options.backoff ?? {}
    const wait = Math.min(longest, first * 2 ** Math.min(entry.failures, 16))
    entry.state = 'waiting'
    entry.tried = true
    entry.failures += 1
    entry.dueAt = now + wait * (0.5 + this.#options.random() / 2)
  }

  /** It leads to ourselves or, `spare`, to a member that has a link by another address. */
  setAside(address: string, now: number, spare: boolean): void {
    const entry = this.#entries.get(address)
    if (entry === undefined) return
    entry.state = 'waiting'
    entry.tried = true
    entry.failures = 0
    entry.heardAt = now
    entry.missed = false
    const { recheckAfter, recheckSpareAfter } = this.#options
    entry.dueAt = now + (spare ? recheckSpareAfter : recheckAfter)
  }

  /** The member at this address took its leave. */
  left(address: string): void {
    const entry = this.#entries.get(address)
    if (entry !== undefined) entry.missed = false
  }

  /** Addresses from the options at which a member should be, and is not; and since when. */
  missed(): { address: string; since: number }[] {
    return [...this.#entries]
      .filter(([, entry]) => entry.configured && entry.missed && entry.state !== 'linked')
      .map(([address, { addedAt }]) => ({ address, since: addedAt }))
  }

  /** True while there is an address of which nothing is known yet. */
  isUntried(): boolean {
    for (const entry of this.#entries.values()) if (!entry.tried) return true
    return false
  }

  /** When `due` is worth asking again; undefined when nothing waits. */
  nextAt(): number | undefined {
    let next: number | undefined
    for (const entry of this.#entries.values()) {
      if (entry.state === 'waiting' && entry.dueAt < (next ?? Number.POSITIVE_INFINITY)) {
        next = entry.dueAt
      }
    }
    return next
  }

  get size(): number {
    return this.#entries.size
  }

  #add(address: string, configured: boolean, now: number): void {
    if (!configured && this.#entries.size >= this.#options.maxAddresses) return
    this.#entries.set(address, {
      configured,
      state: 'waiting',
      tried: false,
      missed: true,
      addedAt: now,
      failures: 0,
      heardAt: now,
      dueAt: now,
    })
  }
}

interface AddressEntry {
  configured: boolean
  state: 'waiting' | 'dialling' | 'linked'
  /** An attempt has come to some end. */
  tried: boolean
  /** False where it led to ourselves, to one with another link, or to one that left. */
  missed: boolean
  readonly addedAt: number
  failures: number
  /** When somebody last gave a sign that a member is there. */
  heardAt: number
  dueAt: number
}
