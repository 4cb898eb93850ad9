import type { Duplex } from 'node:stream'
import { brokeOff } from '../../backend/failure.ts'
import type { Clock, Timer } from '../../clock.ts'
import { CallAround } from '../around/call-around.ts'
import type { DispatchCall, DispatchHandler, DispatchRequest } from '../dispatch.ts'
import { judge, type Refusal, resumingFields } from './continuation.ts'
import type { ResumeOptions } from './options.ts'
import { type Representation, representationOf } from './representation.ts'

/**
 * What became of a response that broke off: it went on (`resumed`), or why it could not be:
 *
 * - `unsuited`: there was nothing to hold another response to.
 * - a Refusal: what another one had was not the same object.
 * - `timeout`, `too-often`: an option set the bound.
 * - `gone`: the client left meanwhile.
 */
export type ResumeOutcome =
  | 'resumed'
  | 'unsuited'
  | Refusal
  | 'timeout'
  | 'too-often'
  | 'gone'

export const resumeOutcomes: readonly ResumeOutcome[] = [
  'resumed',
  'unsuited',
  'changed',
  'no-range',
  'other-form',
  'timeout',
  'too-often',
  'gone',
]

export interface ResumeEvent {
  readonly outcome: ResumeOutcome
  /** The backend whose response broke off, and the one that went on. */
  readonly from: string | undefined
  readonly to: string | undefined
  /** Where in the object; see Representation. */
  readonly position: number
  readonly error: string
}

export interface ResumeContext {
  readonly options: ResumeOptions
  readonly clock: Clock
  /** Sends a request to some backend, to `avoid` only when there is no other. */
  send(
    request: DispatchRequest,
    handler: DispatchHandler,
    avoid: string | undefined,
  ): DispatchCall
  onOutcome(event: ResumeEvent): void
}

/** Between two tries at backends of which none could say anything: it doubles, to a bound. */
const firstWait = 50
const longestWait = 1_000

/** A response to this request can be asked for again, from the middle on. */
export function mayResume({ method, body, upgrade, duplex }: DispatchRequest): boolean {
  const whole = body === undefined && upgrade === undefined && duplex === undefined
  return whole && method === 'GET'
}

/**
 * A response that goes on where the backend that gave it has died, in another one's words: the
 * client sees one response, of the bytes that the first one promised. In any doubt it breaks
 * off, as it would have without.
 *
 * Of a response that goes on only bytes are used. Its fields, cookies among them, and trailers
 * are about another message.
 */
export class ResumedResponse extends CallAround {
  readonly #request: DispatchRequest
  readonly #context: ResumeContext
  #status = 0
  #fields: readonly string[] = []
  /** Known from the first time that it breaks off. */
  #representation: Representation | undefined
  /** Bytes of the body that were passed on. */
  #passed = 0
  #resumptions = 0
  #aborted: Error | undefined
  #outage: Outage | undefined

  constructor(
    request: DispatchRequest,
    handler: DispatchHandler,
    context: ResumeContext,
  ) {
    super(handler)
    this.#request = request
    this.#context = context
  }

  /** To be called once. */
  start(): void {
    this.call = this.#context.send(this.#request, this, undefined)
  }

  override get resumptions(): number {
    return this.#resumptions
  }

  override abort(reason: Error): void {
    this.#aborted ??= reason
    if (this.#outage === undefined) super.abort(reason)
    else this.#giveUp(this.#outage, 'gone')
  }

  override onResponse(
    status: number,
    text: string,
    fields: string[],
    last?: boolean,
  ): void {
    this.#status = status
    this.#fields = fields
    super.onResponse(status, text, fields, last)
  }

  override onData(chunk: Buffer): void {
    this.#passed += chunk.length
    super.onData(chunk)
  }

  override onError(error: Error): void {
    if (this.#status === 0 || this.#aborted !== undefined || !brokeOff(error)) {
      super.onError(this.#aborted ?? error)
      return
    }
    this.#representation = representationOf(this.#status, this.#fields)
    this.#brokeOff(error)
  }

  #brokeOff(error: Error): void {
    const { clock, options } = this.#context
    const outage: Outage = {
      error,
      from: this.backend,
      wait: firstWait,
      timer: clock.after(options.timeout, () => this.#giveUp(outage, 'timeout')),
      pause: undefined,
      call: undefined,
    }
    this.#outage = outage
    if (this.#representation === undefined) this.#giveUp(outage, 'unsuited')
    else if (this.#resumptions >= options.most) this.#giveUp(outage, 'too-often')
    else this.#ask(outage, this.#representation)
  }

  /** Sends the request for the rest. */
  #ask(outage: Outage, representation: Representation): void {
    const position = representation.first + this.#passed
    const request: DispatchRequest = {
      ...this.#request,
      fields: resumingFields(this.#request.fields, representation, position),
    }
    const answer = new Continuation(representation, position, {
      onData: chunk => {
        this.#passed += chunk.length
        this.handler.onData(chunk)
      },
      onContinued: (last, total) => {
        this.#representation = { ...representation, last, total }
        this.#over(outage)
        this.#resumptions++
        // Not before: what it says first is for us, and a client that pauses must not hold it up.
        if (outage.call !== undefined) this.call = outage.call
        this.#tell(outage, 'resumed')
      },
      onEnd: () => this.handler.onEnd([]),
      onBrokeOff: error => this.#brokeOff(error),
      onError: error => this.handler.onError(this.#aborted ?? error),
      onUnavailable: () => this.#askLater(outage, representation),
      onRefused: why => this.#giveUp(outage, why),
    })
    const call = this.#context.send(request, answer, outage.from)
    answer.call = call
    outage.call = call
  }

  #askLater(outage: Outage, representation: Representation): void {
    if (this.#outage !== outage) return
    outage.pause = this.#context.clock.after(outage.wait, () => {
      this.#ask(outage, representation)
    })
    outage.wait = Math.min(longestWait, 2 * outage.wait)
  }

  #over(outage: Outage): void {
    outage.timer.cancel()
    outage.pause?.cancel()
    this.#outage = undefined
  }

  /** What was passed on stays all that there is. */
  #giveUp(outage: Outage, outcome: ResumeOutcome): void {
    if (this.#outage !== outage) return
    this.#over(outage)
    const { error } = outage
    this.#tell(outage, outcome)
    outage.call?.abort(error)
    this.handler.onError(this.#aborted ?? error)
  }

  #tell({ from, error }: Outage, outcome: ResumeOutcome): void {
    const { first = 0 } = this.#representation ?? {}
    this.#context.onOutcome({
      outcome,
      from,
      to: outcome === 'resumed' ? this.backend : undefined,
      position: first + this.#passed,
      error: error.message,
    })
  }
}

/** From when a response broke off until it goes on, or ends for good. */
interface Outage {
  readonly error: Error
  readonly from: string | undefined
  readonly timer: Timer
  wait: number
  /** Before the next try. */
  pause: Timer | undefined
  /** The last try. */
  call: DispatchCall | undefined
}

interface ContinuationEvents {
  onData(chunk: Buffer): void
  /** From now on there are bytes. */
  onContinued(last: number | undefined, total: number | undefined): void
  onEnd(): void
  /** It has gone on, and broke off again. */
  onBrokeOff(error: Error): void
  /** It has gone on, and ended by what no other backend can mend. */
  onError(error: Error): void
  onUnavailable(): void
  onRefused(why: Refusal): void
}

/** A request for the rest. It is over with the first event that is not about bytes. */
class Continuation implements DispatchHandler {
  /** Set at once, before anything but `onSend`. */
  call: DispatchCall | undefined
  readonly #representation: Representation
  readonly #events: ContinuationEvents
  /** Of the next byte that is missing. */
  #position: number
  /** Bytes yet to come that the client has. */
  #skip = 0
  #last: number | undefined
  #total: number | undefined
  #continues = false
  #over = false

  constructor(
    representation: Representation,
    position: number,
    events: ContinuationEvents,
  ) {
    this.#representation = representation
    this.#position = position
    this.#events = events
  }

  onSend(): void {}
  onLimit(): void {}
  onInform(): void {}

  onResponse(status: number, _text: string, fields: string[]): void {
    if (this.#over) return
    const verdict = judge(this.#representation, this.#position, status, fields)
    if (verdict.kind === 'unavailable') {
      this.#end()
      this.#events.onUnavailable()
    } else if (verdict.kind !== 'continues') {
      this.#end()
      this.#events.onRefused(verdict.kind)
    } else {
      this.#skip = verdict.skip
      this.#last = verdict.last
      this.#total = verdict.total
      if (this.#skip === 0) this.#goOn()
    }
  }

  onData(chunk: Buffer): void {
    if (this.#over) return
    let bytes = chunk
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, chunk.length)
      this.#skip -= skipped
      if (this.#skip > 0) return
      this.#goOn()
      bytes = chunk.subarray(skipped)
    }
    if (bytes.length === 0) return
    this.#position += bytes.length
    if (this.#last !== undefined && this.#position > this.#last + 1) {
      // More than was promised, which the length that was said should have kept out.
      this.#end()
      this.#events.onError(new Error('a response went on for too long'))
      return
    }
    this.#events.onData(bytes)
  }

  onEnd(): void {
    if (this.#over) return
    this.#over = true
    const whole = this.#last === undefined || this.#position === this.#last + 1
    if (!this.#continues) this.#events.onUnavailable()
    else if (whole) this.#events.onEnd()
    else this.#events.onBrokeOff(new Error('a response was too short'))
  }

  onUpgrade(_fields: string[], socket: Duplex): void {
    socket.destroy()
    if (this.#over) return
    this.#over = true
    this.#events.onRefused('no-range')
  }

  onError(error: Error): void {
    if (this.#over) return
    this.#over = true
    if (!this.#continues) this.#events.onUnavailable()
    else if (brokeOff(error)) this.#events.onBrokeOff(error)
    else this.#events.onError(error)
  }

  #goOn(): void {
    this.#continues = true
    this.#events.onContinued(this.#last, this.#total)
  }

  /** Nothing it still says counts. */
  #end(): void {
    this.#over = true
    this.call?.abort(new Error('not the response that was asked for'))
  }
}
