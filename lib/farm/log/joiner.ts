import type { Clock } from '../../clock.ts'
import type { HandfastError } from '../../errors.ts'
import type { Log } from '../../log.ts'
import type { VectorEntry } from '../../wire/frame-sync.ts'
import type { OutboundLink } from '../link/outbound-link.ts'
import { refusedError } from '../link/refusal.ts'
import { decideJoin, type ReadyCause } from './join-decision.ts'
import type { SyncDone } from './state-sync.ts'

export interface JoinerParts {
  readonly clock: Clock
  readonly log: Log
  readonly selfId: string
  readonly joinTimeout: number
  /** Links to members that said who they are. */
  links(): ReadonlyMap<string, OutboundLink>
  untried(): boolean
  /** Addresses that refused this member, and why. */
  refusals(): ReadonlyMap<string, string>
  sync(link: OutboundLink): void
  /** All that these entries name has come over the links, as far as links can bring it. */
  hasCaughtUp(after: readonly VectorEntry[], elapsed: number): boolean
  /** Something is missing that only a snapshot can bring. */
  hasHoles(): boolean
  onReady(): void
  onRefused(error: HandfastError): void
}

/**
 * The way from `joining` to `ready`: find a donor, take its snapshot, wait for the logs to
 * catch up with it (research: JGroups' state transfer, Infinispan's live-beats-snapshot rule,
 * which versions give for nothing). It holds no timer: whoever owns it calls `step`.
 */
export class Joiner {
  readonly #parts: JoinerParts
  readonly #startedAt: number
  #phase: 'deciding' | 'syncing' | 'catching up' | 'done' = 'deciding'
  #failedDonors = new Set<string>()
  #failures = 0
  #retryAt = 0
  #done: SyncDone | undefined
  #caughtSince = 0

  constructor(parts: JoinerParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.monotonic()
  }

  /** A whole snapshot has been applied; a log that starts now goes on from what is held. */
  get hasSnapshot(): boolean {
    return this.#phase === 'catching up'
  }

  /** Looks again, after anything changed and now and then. */
  step(): void {
    if (this.#phase === 'deciding') this.#decide()
    else if (this.#phase === 'catching up') this.#catchUp()
  }

  onSynced(done: SyncDone): void {
    if (this.#phase !== 'syncing') return
    this.#phase = 'catching up'
    this.#done = done
    this.#caughtSince = this.#parts.clock.monotonic()
    this.step()
  }

  onSyncFailed(donor: string, reason: string): void {
    if (this.#phase !== 'syncing') return
    this.#parts.log.warn({ member: donor, reason }, 'no state from this member')
    this.#phase = 'deciding'
    this.#fail(donor)
    this.step()
  }

  #decide(): void {
    const { clock, selfId, joinTimeout } = this.#parts
    const now = clock.monotonic()
    if (now < this.#retryAt) return
    const links = this.#parts.links()
    const decision = decideJoin({
      selfId,
      peers: [...links].map(([id, link]) => ({ id, state: link.peerState })),
      untried: this.#parts.untried(),
      elapsed: now - this.#startedAt,
      joinTimeout,
      failedDonors: this.#failedDonors,
      failures: this.#failures,
    })
    if (decision.do === 'be ready') {
      this.#readyWithout(decision.because)
      return
    }
    if (decision.do === 'wait') return
    const link = links.get(decision.donor)
    if (link === undefined) return
    this.#phase = 'syncing'
    this.#parts.sync(link)
  }

  #catchUp(): void {
    const { clock, log } = this.#parts
    const done = this.#done
    if (done === undefined) return
    if (this.#parts.hasHoles()) {
      log.warn({ member: done.donor }, 'a log went on without us, taking the state again')
      this.#phase = 'deciding'
      this.#fail(undefined)
      return
    }
    const now = clock.monotonic()
    if (!this.#parts.hasCaughtUp(done.after, now - this.#caughtSince)) return
    const ms = Math.round(now - this.#startedAt)
    log.info({ from: done.donor, records: done.records, ms }, 'joined the farm')
    this.#finish()
  }

  #readyWithout(because: ReadyCause): void {
    const { log, clock } = this.#parts
    const refusals = this.#parts.refusals()
    if (because === 'nobody is reachable' && refusals.size > 0) {
      this.#phase = 'done'
      this.#parts.onRefused(refusedError(refusals))
      return
    }
    const ms = Math.round(clock.monotonic() - this.#startedAt)
    const incomplete = because === 'no member could give its state'
    log[incomplete ? 'warn' : 'info']({ because, records: 0, ms }, 'joined the farm')
    this.#finish()
  }

  #fail(donor: string | undefined): void {
    this.#failures += 1
    if (donor !== undefined) {
      const ready = [...this.#parts.links()].filter(
        ([, link]) => link.peerState === 'ready',
      )
      this.#failedDonors.add(donor)
      // Everyone had a turn: begin again, after a pause.
      if (ready.every(([id]) => this.#failedDonors.has(id))) {
        this.#failedDonors = new Set()
        this.#retryAt = this.#parts.clock.monotonic() + 100 * this.#failures
      }
    }
  }

  #finish(): void {
    this.#phase = 'done'
    this.#parts.onReady()
  }
}
