import type {
  GivenConnections,
  Holding,
  MovedConnection,
} from '../takeover/host/move/holding.ts'

export interface ConnectionHoldingParts {
  /** Of the one connection. */
  readonly holding: Holding
  /** Nobody goes on from what others were told of it before; false: that is not certain. */
  recall(): Promise<boolean>
  /** Others are told of it again. */
  resume(): void
}

/**
 * One connection on its way to another host, while all others stay. What was told of it before could
 * be gone on with by whoever takes over this host, so that is called back first.
 */
export class ConnectionHolding implements Holding {
  readonly #parts: ConnectionHoldingParts
  #recalled: Promise<void> | undefined
  #isRecalled = false

  constructor(parts: ConnectionHoldingParts) {
    this.#parts = parts
  }

  lasting(): number {
    return this.#parts.holding.lasting()
  }

  hold(late: boolean): number {
    const left = this.#parts.holding.hold(late)
    if (left > 0) return left
    this.#recalled ??= this.#parts.recall().then(isCertain => {
      this.#isRecalled = isCertain
    })
    return this.#isRecalled ? 0 : 1
  }

  moved(): readonly MovedConnection[] {
    return this.#parts.holding.moved()
  }

  release(): void {
    this.#parts.holding.release()
    if (this.#recalled !== undefined) this.#parts.resume()
  }

  give(leave: () => void): GivenConnections {
    return this.#parts.holding.give(leave)
  }
}
