/** While it is on, what is to be said waits, and goes on in its order when it is over. */
export class OutputHold {
  #waiting: (() => void)[] | undefined

  get isOn(): boolean {
    return this.#waiting !== undefined
  }

  begin(): void {
    this.#waiting ??= []
  }

  /** True when it is on: this goes on at the end of it. */
  keeps(goOn: () => void): boolean {
    this.#waiting?.push(goOn)
    return this.isOn
  }

  /** It is over. Answers what has waited, for the caller to go on with. */
  end(): readonly (() => void)[] {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    return waiting
  }
}
