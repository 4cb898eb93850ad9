import type { Auth } from './auth.ts'

/** The authentications of one member, each for a realm. */
export class Auths {
  readonly #open = new Set<Auth>()

  add(auth: Auth): void {
    this.#open.add(auth)
  }

  delete(auth: Auth): void {
    this.#open.delete(auth)
  }

  /** The user who is logged in under a lineage, if any. Bound, to be handed on. */
  readonly subjectOf = (lineage: Buffer): string | undefined => {
    for (const auth of this.#open) {
      const subject = auth.subjectOf(lineage)
      if (subject !== undefined) return subject
    }
    return undefined
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map(auth => auth.close()))
  }
}
