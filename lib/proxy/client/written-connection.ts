import type { Socket } from 'node:net'
import type { Clock } from '../../clock.ts'
import {
  lengthOf,
  type Representation,
} from '../../dispatch/resumed-response/representation.ts'
import { type Fields, valuesOf } from '../../http/fields.ts'
import type { AskedRequest } from '../../takeover/checkpoint/checkpoint.ts'
import type { CheckpointedConnection } from '../../takeover/checkpoint/checkpointed-connection.ts'
import type { ProtectedConnection } from '../../takeover/connection/protected-connection.ts'
import type { RequestHead } from '../message/request-check.ts'

/** A connection that is written down while it is served, so that others can go on with it. */
export class WrittenConnection {
  readonly #connection: ProtectedConnection
  readonly #checkpoints: CheckpointedConnection<Socket>
  readonly #clock: Clock
  readonly #commit: () => Promise<void> | undefined

  /** `commit`: what an answer that begins has to wait for. */
  constructor(
    connection: ProtectedConnection,
    checkpoints: CheckpointedConnection<Socket>,
    clock: Clock,
    commit: () => Promise<void> | undefined,
  ) {
    this.#connection = connection
    this.#checkpoints = checkpoints
    this.#clock = clock
    this.#commit = commit
  }

  /** A request has its turn. `isAhead`: whether the client has sent others meanwhile. */
  asked(head: RequestHead, isAhead: () => boolean): void {
    this.#checkpoints.asked(requestOf(head), isAhead, this.#clock.monotonic())
  }

  /**
   * The next thing to be written is the head of the answer.
   * @param represented What the backend has promised; undefined where that is nothing.
   * @param fields What the client is told.
   */
  answers(
    represented: Representation | undefined,
    fields: Fields,
    keepAlive: boolean,
  ): void {
    const checkpoints = this.#checkpoints
    // From now on it is not true any more that nothing has been said.
    checkpoints.began(undefined, this.#clock.monotonic())
    const { request } = checkpoints.owed ?? {}
    if (request?.method !== 'GET' || request.hasBody || represented === undefined) return
    const { first, last } = represented
    if (last === undefined || last < first || lengthOf(fields) !== last - first + 1)
      return
    this.#connection.plan({ first, length: last - first + 1, keepAlive }, planned => {
      const response = { planned, representation: represented }
      checkpoints.began(response, this.#clock.monotonic())
      return this.#commit()
    })
  }

  /** What follows is another protocol, and nobody else can go on with it. */
  switches(): void {
    this.#checkpoints.began(undefined, this.#clock.monotonic())
  }

  /** All of the answer has been given to the connection. */
  answered(): void {
    this.#checkpoints.answered(this.#clock.monotonic())
  }
}

function requestOf({ method, target, httpVersion, fields }: RequestHead): AskedRequest {
  const hasBody =
    valuesOf(fields, 'transfer-encoding').length > 0 ||
    valuesOf(fields, 'content-length').some(length => Number(length) !== 0)
  return { method, target, httpVersion, fields, hasBody }
}
