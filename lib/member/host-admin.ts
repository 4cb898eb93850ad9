import { type Admin, type AdminOptions, createAdmin } from '../admin/admin.ts'
import type { Clock, Timer } from '../clock.ts'

const pause = 1_000

/**
 * The one admin port of a host whose processes are no node:cluster: one of them has it, and when
 * that ends another one takes it. (The workers of a cluster share it.)
 */
export class HostAdmin implements Admin {
  readonly host: string
  readonly port: number
  readonly token: string | undefined
  readonly #options: AdminOptions
  readonly #clock: Clock
  #admin: Admin | undefined
  #timer: Timer | undefined
  #closed = false

  private constructor(options: AdminOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.host = options.host ?? '127.0.0.1'
    this.port = options.port
    this.token = options.token
  }

  /** Rejects when the port can't be had for another reason than that somebody has it. */
  static async open(options: AdminOptions, clock: Clock): Promise<Admin> {
    try {
      return await createAdmin(options)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
    const { log, host, port } = options
    log.info({ host, port }, 'another process has the admin port: this one waits for it')
    const waiting = new HostAdmin(options, clock)
    waiting.#retry()
    return waiting
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#admin?.close()
  }

  #retry(): void {
    this.#timer = this.#clock.after(pause, () => {
      createAdmin(this.#options).then(
        admin => {
          this.#admin = admin
          if (this.#closed) void admin.close()
        },
        () => {
          if (!this.#closed) this.#retry()
        },
      )
    })
  }
}
