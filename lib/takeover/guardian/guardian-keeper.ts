import type { Socket } from 'node:net'
import type { CheckpointKeeper } from '../checkpoint/checkpoint-keeper.ts'
import type { CheckpointedConnection } from '../checkpoint/checkpointed-connection.ts'
import { handleOf, type SystemHandle } from './system-handle.ts'

/** From a worker to its guardian. */
export type ToGuardian =
  /** The first of a connection comes with a duplicate of its socket. */
  | {
      readonly type: 'checkpoint'
      readonly id: string
      /** What the connection counts for; undefined: it speaks for many clients. */
      readonly network: string | undefined
      /** Base64, see codec.ts. */
      readonly checkpoint: string
      readonly first: boolean
    }
  /** The worker goes on with it no more, and another one is to. */
  | { readonly type: 'give'; readonly id: string }
  /** The connection is over. */
  | { readonly type: 'retire'; readonly id: string }

/** From the guardian to the worker that goes on with a connection, with its socket. */
export interface Adopt {
  readonly type: 'adopt'
  readonly id: string
  readonly checkpoint: string
}

/** Messages that may be on their way: a supervisor that stands still must not fill the memory. */
const mostOnTheWay = 1_000

/** Calls back when the message is on its way, or will never be. */
export type TellGuardian = (
  message: ToGuardian,
  handle: SystemHandle | undefined,
  done: () => void,
) => void

/** The guardian, as a worker of its sees it. */
export class GuardianKeeper implements CheckpointKeeper<Socket> {
  /** It asks the kernel itself. */
  readonly wantsProgress = false
  readonly #tell: TellGuardian
  #onTheWay = 0

  constructor(tell: TellGuardian) {
    this.#tell = tell
  }

  write(
    of: CheckpointedConnection<Socket>,
    checkpoint: Buffer,
    done?: () => void,
  ): boolean {
    if (this.#onTheWay >= mostOnTheWay) return false
    const { socket, network } = of.opened
    const first = !of.isWritten
    const handle = first ? handleOf(socket) : undefined
    // It has just been closed, and is retired before long.
    if (first && handle === undefined) return done === undefined
    this.#send(
      {
        type: 'checkpoint',
        id: of.id.toString('hex'),
        network,
        checkpoint: checkpoint.toString('base64'),
        first,
      },
      handle,
      done,
    )
    return true
  }

  progress(): void {}

  give(of: CheckpointedConnection<Socket>): void {
    this.#send({ type: 'give', id: of.id.toString('hex') }, undefined)
  }

  /** Never put off: as long as the duplicate is open the client can't be told that it is over. */
  retire(of: CheckpointedConnection<Socket>): void {
    this.#send({ type: 'retire', id: of.id.toString('hex') }, undefined)
  }

  #send(
    message: ToGuardian,
    handle: SystemHandle | undefined,
    done: () => void = () => {},
  ): void {
    this.#onTheWay++
    this.#tell(message, handle, () => {
      this.#onTheWay--
      done()
    })
  }
}
