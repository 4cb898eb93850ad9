import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { LogLimiter } from '../../limit/log-limiter.ts'
import type { Log } from '../../log.ts'
import type { HybridClock } from '../../record/hybrid-clock.ts'
import type { Greeting } from '../../wire/frame-greeting.ts'
import type { PeerTimes } from '../../wire/frame-time.ts'
import type { FrameLink } from '../link/frame-link.ts'
import { type ClockTrouble, clockTrouble, clockWords } from '../link/peer-time.ts'
import type { Refusal } from '../link/refusal.ts'
import type { MemberDirectory } from './member-directory.ts'

export interface ClockCheckParts {
  readonly versions: HybridClock
  readonly clock: Clock
  readonly log: Log
  readonly directory: MemberDirectory
}

/**
 * Keeps members apart whose clocks differ by more than the farm can bear, and says so: here, to
 * the other one, and in the list of members.
 */
export class ClockCheck {
  readonly #parts: ClockCheckParts
  readonly #limiter: LogLimiter

  constructor(parts: ClockCheckParts) {
    this.#parts = parts
    this.#limiter = new LogLimiter(parts.clock)
  }

  /**
   * Why the dialler is not let in; undefined when it may. `answer`: who we are. Where it is our own
   * time that was ahead, the dialler would leave as soon as it is told: it is not let in, so that
   * it is no member for that moment, and dials less and less often.
   */
  refuse(
    dialler: Greeting,
    link: FrameLink,
    address: string | undefined,
    answer: () => Greeting,
  ): Refusal | undefined {
    const { clock, directory } = this.#parts
    const { trouble, wall } = link.time
    const times = this.#times()
    const own = wall === undefined ? undefined : clockTrouble(times, wall)
    if (trouble !== undefined)
      this.#note(dialler, address, clockWords(trouble, 'its', 'ours'))
    else if (own?.wasAhead === true) {
      directory.refuse(dialler, address, ownWords(own), clock.monotonic())
    } else return undefined
    return { reason: 'clock', times, greeting: answer() }
  }

  /**
   * The acceptor does not let us in. Answers how to say so: ERR_HANDFAST_JOIN where it is we who
   * have to do something about it.
   */
  refused({ times, greeting }: Extract<Refusal, object>, address: string): Error {
    const { versions, clock, directory } = this.#parts
    const ahead = versions.wall() - times.wall
    const own = clockTrouble(this.#times(), times.wall)
    const theirs = clockTrouble(times, versions.wall())
    if (own === undefined && theirs?.wasAhead === true) {
      const reason = clockWords(theirs, 'its', 'ours')
      this.#note(greeting, address, reason)
      return new Error(reason)
    }
    const reason = ownWords(own ?? { ahead, wasAhead: false })
    directory.refuse(greeting, address, reason, clock.monotonic())
    return new HandfastError('ERR_HANDFAST_JOIN', reason)
  }

  /** A link that stood has ended. True when the clock of the other end was the cause. */
  ended(peer: Greeting, address: string | undefined, error: Error | undefined): boolean {
    if (!(error instanceof HandfastError) || error.code !== 'ERR_HANDFAST_JOIN')
      return false
    this.#note(peer, address, error.message)
    return true
  }

  #note(peer: Greeting, address: string | undefined, reason: string): void {
    const { log, clock, directory } = this.#parts
    directory.refuse(peer, address, reason, clock.monotonic())
    this.#limiter.log(heldBack => {
      log.error({ member: peer.id, address, heldBack }, `member refused: ${reason}`)
    })
  }

  #times(): PeerTimes {
    const { versions } = this.#parts
    return { wall: versions.wall(), farm: versions.now() }
  }
}

/** What the other end has against our clock. */
function ownWords(trouble: ClockTrouble): string {
  return clockWords(trouble, 'the', 'its own')
}
