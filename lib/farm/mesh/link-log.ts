import type { Clock } from '../../clock.ts'
import { HandfastError } from '../../errors.ts'
import { LogLimiter } from '../../limit/log-limiter.ts'
import type { Log } from '../../log.ts'
import type { Life } from './life.ts'

export interface LinkLogParts {
  readonly self: Life
  readonly clock: Clock
  readonly log: Log
}

/** What is logged of links; many may end at once. */
export class LinkLog {
  readonly #parts: LinkLogParts
  readonly #limiter: LogLimiter

  constructor(parts: LinkLogParts) {
    this.#parts = parts
    this.#limiter = new LogLimiter(parts.clock)
  }

  ended(member: string | undefined, error: Error | undefined): void {
    const { log } = this.#parts
    const reason = error?.message.trim() ?? 'closed by the other end'
    const bad = error instanceof HandfastError
    this.#limiter.log(heldBack => {
      const fields = { member, reason, heldBack }
      if (bad) log.warn(fields, 'link ended: the member does not follow the protocol')
      // Who comes and goes is told of the member, once; a link is a part of that.
      else if (member !== undefined) log.debug(fields, 'link ended')
      else log.info(fields, 'link ended')
    })
  }

  twin(address: string): void {
    this.#parts.log.error(
      { address, member: this.#parts.self.id },
      'another member has the id of this one',
    )
  }
}
