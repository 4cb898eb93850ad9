import type { Socket } from 'node:net'

/**
 * The connections of the admin port: so many, and the next one takes the place of the one that
 * has been there longest. Else a hundred that ask for nothing would keep out the operator who has
 * to revoke somebody. One that has shown the token stays.
 */
export class Callers {
  readonly #most: number
  readonly #guests = new Set<Socket>()
  #trusted = 0

  constructor(most: number) {
    this.#most = most
  }

  add(socket: Socket): void {
    if (this.#trusted >= this.#most) {
      socket.destroy()
      return
    }
    this.#guests.add(socket)
    socket.once('close', () => this.#guests.delete(socket))
    if (this.#guests.size + this.#trusted > this.#most) {
      const [oldest] = this.#guests
      if (oldest !== undefined) {
        this.#guests.delete(oldest)
        oldest.destroy()
      }
    }
  }

  /** It has shown the token. */
  trust(socket: Socket): void {
    if (!this.#guests.delete(socket)) return
    this.#trusted += 1
    socket.once('close', () => {
      this.#trusted -= 1
    })
  }
}
