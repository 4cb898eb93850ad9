import type { Duplex } from 'node:stream'
import type { Clock, Timer } from '../../clock.ts'
import { codeOf } from '../failure.ts'
import type { PoolCall } from '../pool.ts'
import type { BackendHandler, BackendRequest } from '../request.ts'
import { CheckAnswer, longestBody } from './check-answer.ts'
import type { CheckOptions } from './check-options.ts'

/** Sends a request on a new connection. */
export type SendProbe = (request: BackendRequest, handler: BackendHandler) => PoolCall

/** Asks a backend how it is. */
export class Probe {
  readonly #options: CheckOptions
  readonly #request: BackendRequest
  readonly #answer: CheckAnswer
  readonly #send: SendProbe
  readonly #clock: Clock

  /** `authority`: of the backend, as a Host field has it. */
  constructor(options: CheckOptions, authority: string, send: SendProbe, clock: Clock) {
    this.#options = options
    this.#answer = new CheckAnswer(options)
    this.#send = send
    this.#clock = clock
    this.#request = {
      method: options.method,
      path: options.path,
      fields: ['Host', options.host ?? authority, 'User-Agent', 'handfast-check'],
      body: undefined,
      upgrade: undefined,
    }
  }

  /** Calls `done` once, later, with what is wrong; undefined when all is well. */
  run(done: (fault: string | undefined) => void): void {
    new Asking(this.#answer, done).begin(
      handler => this.#send(this.#request, handler),
      (ms, fn) => this.#clock.after(ms, fn),
      this.#options.timeout,
    )
  }
}

class Asking implements BackendHandler {
  readonly #answer: CheckAnswer
  readonly #done: (fault: string | undefined) => void
  #call: PoolCall | undefined
  #timer: Timer | undefined
  #status = 0
  #body: Buffer[] = []
  #bytes = 0
  #over = false

  constructor(answer: CheckAnswer, done: (fault: string | undefined) => void) {
    this.#answer = answer
    this.#done = done
  }

  begin(
    send: (handler: BackendHandler) => PoolCall,
    after: (ms: number, fn: () => void) => Timer,
    timeout: number,
  ): void {
    this.#timer = after(timeout, () => this.#end('timeout'))
    this.#call = send(this)
  }

  onSend(): void {}
  onInform(): void {}

  onResponse(status: number): void {
    this.#status = status
    const fault = this.#answer.readsBody ? undefined : this.#answer.faultOf(status, '')
    if (fault !== undefined) this.#end(fault)
  }

  onData(chunk: Buffer): void {
    if (this.#over) return
    this.#bytes += chunk.length
    if (this.#answer.readsBody) this.#body.push(chunk)
    // The end of a longer one is not waited for.
    if (this.#bytes >= longestBody) this.#judge()
  }

  onEnd(): void {
    this.#judge()
  }

  onUpgrade(_fields: string[], socket: Duplex): void {
    socket.destroy()
    this.#end('status 101')
  }

  onError(error: Error): void {
    this.#end(codeOf(error))
  }

  #judge(): void {
    if (this.#over) return
    const body = Buffer.concat(this.#body).subarray(0, longestBody).toString()
    this.#end(this.#answer.faultOf(this.#status, body))
  }

  #end(fault: string | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#body = []
    this.#timer?.cancel()
    // Does nothing where the answer is whole.
    this.#call?.abort(new Error('the check is over'))
    this.#done(fault)
  }
}
