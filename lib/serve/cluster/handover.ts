import type { Worker } from 'node:cluster'
import { Rendezvous } from '../../cache/rendezvous.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { Log } from '../../log.ts'
import { tables } from '../../record/key.ts'
import { bundleOf } from '../../takeover/checkpoint/codec.ts'
import type { Guardian, HeldConnection } from '../../takeover/guardian/guardian.ts'
import type { Adopt, ToGuardian } from '../../takeover/guardian/guardian-keeper.ts'
import type { SystemHandle } from '../../takeover/guardian/system-handle.ts'

/** Milliseconds: from the last connection that found no worker until one serves. */
const longestWait = 30_000

/** No worker: of those that wait for one. Ids of workers begin at 1. */
const nobody = 0

/** The connections of workers that died, on their way to others. */
export class Handover {
  readonly #guardian: Guardian<SystemHandle>
  readonly #clock: Clock
  readonly #log: Log
  /** Workers that serve. */
  readonly #heirs = new Map<number, Worker>()
  #waiting: Timer | undefined
  #turn = 0

  constructor(guardian: Guardian<SystemHandle>, clock: Clock, log: Log) {
    this.#guardian = guardian
    this.#clock = clock
    this.#log = log
  }

  /** What a worker says to its guardian, with the socket if it is the first of a connection. */
  heard(worker: Worker, message: ToGuardian, handle: SystemHandle | undefined): void {
    if (message.type === 'retire') {
      this.#guardian.retire(worker.id, message.id)
      return
    }
    if (message.type === 'give') {
      this.#give(this.#guardian.of(worker.id).filter(({ id }) => id === message.id))
      return
    }
    const { id, network, first } = message
    const checkpoint = Buffer.from(message.checkpoint, 'base64')
    if (!first) this.#guardian.update(worker.id, id, checkpoint)
    else if (handle !== undefined) {
      this.#guardian.hold(worker.id, id, network, checkpoint, handle)
    }
  }

  /** Ids of the connections of the worker that are here. */
  heldOf(worker: Worker): string[] {
    return this.#guardian.of(worker.id).map(({ id }) => id)
  }

  /** It serves, and can have connections. */
  ready(worker: Worker): void {
    this.#heirs.set(worker.id, worker)
    this.#waiting?.cancel()
    this.#give(this.#guardian.of(nobody))
  }

  /** It does not serve any more. */
  gone(worker: Worker): void {
    this.#heirs.delete(worker.id)
  }

  /** Others go on at once: a worker that is yet to come would be too long in coming. */
  died(worker: Worker): void {
    this.gone(worker)
    const left = this.#guardian.of(worker.id)
    if (left.length === 0) return
    this.#log.info(
      { connections: left.length, workers: this.#heirs.size },
      'connections of a worker that died are handed over',
    )
    this.#give(left)
  }

  /** Nothing is handed over any more: what a worker leaves ends with it. */
  close(): void {
    this.#waiting?.cancel()
    this.#guardian.close()
  }

  #give(connections: readonly HeldConnection<SystemHandle>[]): void {
    const heirs = [...this.#heirs.values()]
    if (heirs.length === 0) {
      for (const { id } of connections) this.#guardian.give(id, nobody)
      this.#waiting?.cancel()
      this.#waiting = this.#clock.after(longestWait, () => this.#letGo())
      return
    }
    const order = new Rendezvous(0, heirs.map(nameOf))
    for (const { id, handle, checkpoint } of connections) {
      const bundle = bundleOf(checkpoint)
      const heir =
        bundle === undefined
          ? heirs[this.#turn++ % heirs.length]
          : firstOf(order, bundle, heirs)
      if (heir === undefined || !this.#guardian.give(id, heir.id)) continue
      const message: Adopt = {
        type: 'adopt',
        id,
        checkpoint: checkpoint.toString('base64'),
      }
      // One that dies meanwhile leaves it behind again.
      if (heir.isConnected()) heir.send(message, handle as never, () => {})
    }
  }

  #letGo(): void {
    for (const { id } of this.#guardian.of(nobody)) this.#guardian.retire(nobody, id)
  }
}

/** Those of one bundle go to the same, as long as it serves, whenever they come. */
function firstOf(
  order: Rendezvous,
  bundle: Buffer,
  heirs: readonly Worker[],
): Worker | undefined {
  const [first] = order.first(tables.connection, bundle, 1)
  return heirs.find(heir => nameOf(heir) === first)
}

function nameOf({ id }: Worker): string {
  return String(id)
}
