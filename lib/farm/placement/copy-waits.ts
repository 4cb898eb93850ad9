import type { OwnedWrite } from './delivery.ts'

/** Writes whose callers wait for copies. */
export class CopyWaits {
  readonly #settle: (token: number, reached: boolean) => void
  /** By token, when its caller stops waiting. */
  readonly #until = new Map<number, number>()
  /** No wait ends before. */
  #deadline = Infinity

  constructor(settle: (token: number, reached: boolean) => void) {
    this.#settle = settle
  }

  get deadline(): number {
    return this.#deadline
  }

  add(token: number, until: number): void {
    this.#until.set(token, until)
    this.#deadline = Math.min(this.#deadline, until)
  }

  /** The member has it in its table. */
  taken(write: OwnedWrite, by: string): void {
    write.isTaken = true
    write.awaited?.delete(by)
    this.look(write)
  }

  /** The member is there, and could not take it. */
  refused(write: OwnedWrite, by: string): void {
    if (write.awaited?.has(by)) this.#end(write, false)
  }

  /** Ends the wait when nobody is awaited any more. */
  look(write: OwnedWrite): void {
    const { awaited, isTaken } = write
    if (awaited === undefined ? isTaken : awaited.size === 0) this.#end(write, isTaken)
  }

  expire(now: number): void {
    if (now < this.#deadline) return
    this.#deadline = Infinity
    for (const [token, until] of this.#until) {
      if (until > now) this.#deadline = Math.min(this.#deadline, until)
      else this.#end({ token }, false)
    }
  }

  close(): void {
    for (const token of this.#until.keys()) this.#end({ token }, false)
    this.#deadline = Infinity
  }

  #end({ token }: Pick<OwnedWrite, 'token'>, reached: boolean): void {
    if (token !== undefined && this.#until.delete(token)) this.#settle(token, reached)
  }
}
