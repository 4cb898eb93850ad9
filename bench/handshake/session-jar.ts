export interface JarEntry {
  readonly session: Buffer
  /** Index of the member that gave it. */
  readonly member: number
}

/**
 * The sessions a client holds, as browsers hold them: a TLS 1.3 ticket is used once
 * (RFC 8446 appendix C.4), newest first; a TLS 1.2 session until a newer one comes.
 */
export class SessionJar {
  readonly #singleUse: boolean
  #entries: JarEntry[] = []

  constructor(singleUse: boolean) {
    this.#singleUse = singleUse
  }

  get size(): number {
    return this.#entries.length
  }

  put(sessions: readonly Buffer[], member: number): void {
    if (sessions.length === 0) return
    if (!this.#singleUse) this.#entries = []
    for (const session of sessions) this.#entries.push({ session, member })
  }

  take(): JarEntry | undefined {
    return this.#singleUse ? this.#entries.pop() : this.#entries.at(-1)
  }
}
