/** Whether this host wants clients: what its probes say. */
export class Readiness {
  #notReady: string | undefined

  constructor(notReady: string | undefined) {
    this.#notReady = notReady
  }

  /** Why not, in words; undefined: it does. */
  get notReady(): string | undefined {
    return this.#notReady
  }

  set(notReady: string | undefined): void {
    this.#notReady = notReady
  }
}
