import type {
  ControlChannel,
  ControlListener,
} from '../../lib/farm/channel/control-channel.ts'
import type { Report } from './order.ts'

/**
 * The control channel of a benchmark: the parent process passes messages on. Keys and
 * introductions travel here before anything is measured, records never do.
 */
export class RelayChannel implements ControlChannel {
  #listener: ControlListener | undefined
  #started = false
  /** What came before this member was ready to hear it. */
  readonly #early: { from: string; message: Uint8Array }[] = []
  readonly #others: readonly string[]
  readonly #report: (report: Report) => void

  constructor(others: readonly string[], report: (report: Report) => void) {
    this.#others = others
    this.#report = report
  }

  listen(listener: ControlListener): void {
    this.#listener = listener
  }

  async start(): Promise<void> {
    this.#started = true
    for (const id of this.#others) this.up(id)
    for (const { from, message } of this.#early.splice(0)) this.received(from, message)
  }

  up(id: string): void {
    this.#listener?.up({ id, host: '127.0.0.1' })
  }

  down(id: string): void {
    this.#listener?.down(id)
  }

  received(from: string, message: Uint8Array): void {
    if (this.#started) this.#listener?.message(from, Buffer.from(message))
    else this.#early.push({ from, message })
  }

  send(to: string, message: Buffer): void {
    this.#report({ report: 'send', to, message })
  }

  onceDrained(): void {}

  async fetch(): Promise<undefined> {
    return undefined
  }

  async close(): Promise<void> {}
}
