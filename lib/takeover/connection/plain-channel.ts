import type { Channel, RestOfPlan } from './channel.ts'
import type { ConnectionState } from './connection-state.ts'

/** HTTP in clear: what is said is what is on the wire. */
export class PlainChannel implements Channel {
  readonly #heard: Buffer[] = []
  #planned = 0
  readonly record: undefined

  get held(): number {
    return this.#heard.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  get inPlan(): boolean {
    return this.#planned > 0
  }

  get planned(): number {
    return this.#planned
  }

  get owesAnswer(): boolean {
    return false
  }

  push(chunk: Buffer): void {
    this.#heard.push(chunk)
  }

  hear(): Buffer | undefined {
    return this.#heard.shift()
  }

  say(chunks: readonly Buffer[]): Buffer[] {
    for (const { length } of chunks) this.#planned = Math.max(0, this.#planned - length)
    return [...chunks]
  }

  sent(): void {}

  answer(): undefined {
    return undefined
  }

  hasRoom(): boolean {
    return true
  }

  makeRoom(): readonly Buffer[] {
    return []
  }

  plan(head: number, length: number): void {
    this.#planned = head + length
  }

  resume({ head, length }: RestOfPlan): void {
    this.#planned = head + length
  }

  last(): undefined {
    return undefined
  }

  state(): ConnectionState {
    return { kind: 'plain' }
  }

  wipe(): void {}
}
