import type { EventEmitter } from 'node:events'
import type { Log } from '../../log.ts'
import { Shadow } from '../hello/shadow.ts'

/** Who answers for the sessions of a server. False: this is not ours to answer. */
export interface SessionAnswers {
  readonly newSession: (id: Buffer, session: Buffer, done: () => void) => boolean
  readonly resumeSession?: (
    id: Buffer,
    callback: (error: Error | null, session: Buffer | null) => void,
  ) => boolean
}

export function isSessionEvent(name: unknown): boolean {
  return name === 'newSession' || name === 'resumeSession'
}

/**
 * Answers an emitter's events about sessions, whatever listeners come and go. There can be one
 * answer: a second ends the connection (ERR_MULTIPLE_CALLBACK), and a session from elsewhere is
 * bound to no policy. So listeners of the owner are told, and what they answer has no effect.
 */
export class SessionEvents {
  readonly #emitter: EventEmitter
  readonly #answers: ReadonlyMap<unknown, (...event: never[]) => boolean>
  readonly #log: Log
  readonly #shadow: Shadow<Emit>
  #active = true
  #told = false

  constructor(emitter: EventEmitter, answers: SessionAnswers, log: Log) {
    this.#emitter = emitter
    this.#answers = new Map(Object.entries(answers))
    this.#log = log
    for (const name of Object.keys(answers)) emitter.on(name, answered)
    this.#shadow = new Shadow<Emit>(emitter, 'emit', (name, ...event) => {
      const answer = this.#active ? this.#answers.get(name) : undefined
      if (answer === undefined) return this.#shadow.before.call(emitter, name, ...event)
      return this.#emit(answer, name as string, event)
    })
  }

  close(): void {
    this.#active = false
    this.#shadow.remove()
    for (const name of this.#answers.keys()) this.#emitter.off(name as string, answered)
  }

  #emit(
    answer: (...event: never[]) => boolean,
    name: string,
    event: readonly unknown[],
  ): boolean {
    const isOurs = answer(...(event as never[]))
    if (this.#emitter.listeners(name).every(listener => listener === answered)) {
      return isOurs
    }
    if (!isOurs) return this.#shadow.before.call(this.#emitter, name, ...event)
    if (!this.#told) {
      this.#told = true
      const message = 'listeners about sessions of an attached server are not asked'
      this.#log.warn({ event: name }, message)
    }
    this.#shadow.before.call(this.#emitter, name, ...event.slice(0, -1), ignore)
    return true
  }
}

type Emit = (name: string | symbol, ...event: unknown[]) => boolean

/** To be seen by who counts listeners; Node itself does. */
function answered(): void {}

function ignore(): void {}
