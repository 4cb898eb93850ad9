import { BoundedMap } from '../../bounded-map.ts'
import type { Decision, Heartbeats, HeldAddress } from './election/heartbeats.ts'

export interface ClaimsParts {
  readonly heartbeats: Heartbeats
  /** They have changed, and others wait to hear of it. */
  tell(): void
}

/** Dead members that one has decided on, and tells of. */
const mostDecided = 200

/** What this member holds, which others inherit when it is gone. */
export class Claims {
  readonly #parts: ClaimsParts
  readonly #held = new Map<string, HeldAddress>()
  /** Never taken back: so nobody is elected for the same again. */
  readonly #decided = new BoundedMap<string, Decision>(mostDecided)
  #lastEpoch = 0

  constructor(parts: ClaimsParts) {
    this.#parts = parts
  }

  get all(): HeldAddress[] {
    return [...this.#held.values()]
  }

  /** The number of a move of what nobody has; above all that were heard of. */
  get nextEpoch(): number {
    return this.#lastEpoch + 1
  }

  get decided(): Decision[] {
    return [...this.#decided.values()]
  }

  of(address: string): HeldAddress | undefined {
    return this.#held.get(address) ?? this.#decided.get(address)
  }

  /** Another member holds it. True: it was held here, and this one was taken for dead. */
  heard({ address, epoch }: HeldAddress): boolean {
    this.#lastEpoch = Math.max(this.#lastEpoch, epoch)
    return (this.of(address)?.epoch ?? Infinity) < epoch
  }

  hold(claim: HeldAddress): void {
    this.#held.set(claim.address, claim)
    this.#parts.heartbeats.took(claim)
    this.#parts.tell()
  }

  /** This member was elected for the seat of a dead one; once more when nothing can be had of it. */
  decide(decision: Decision): void {
    this.#decided.set(decision.address, decision)
    this.#parts.heartbeats.took(decision)
    this.#parts.tell()
  }

  /** The next word of this member says so; `letGo` says it at once. */
  drop(address: string): void {
    this.#held.delete(address)
    this.#decided.delete(address)
  }

  letGo(address: string): void {
    this.#held.delete(address)
    this.#parts.tell()
  }
}
