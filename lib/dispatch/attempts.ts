/**
 * The backends that one request may go to, one after the other. While nothing of it has been
 * sent it may go to all of them. Once sent and lost it may be sent once more, and to the one
 * that lost it only after all others: RFC 9110 9.2.2, a failed automatic retry is not retried.
 */
export class Attempts<T> {
  readonly #left: T[]
  #retrying = false

  /** `first` is to be asked before all others: it knows the client already. */
  constructor(candidates: readonly T[], first?: T) {
    this.#left =
      first === undefined
        ? [...candidates]
        : [first, ...candidates.filter(each => each !== first)]
  }

  /** Undefined when there is nobody left to ask. */
  next(): T | undefined {
    return this.#left.shift()
  }

  /** Grants one more try after `member` has lost the request; false when that has been. */
  retry(member: T): boolean {
    if (this.#retrying) return false
    this.#retrying = true
    this.#left.push(member)
    return true
  }

  /** The request has been lost once, and this is its last chance. */
  get retrying(): boolean {
    return this.#retrying
  }
}
