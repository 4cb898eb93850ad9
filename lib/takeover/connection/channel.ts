import type { ConnectionState } from './connection-state.ts'

/** Between what is on the wire and what an application says and hears. */
export interface Channel {
  /** Takes bytes that came. */
  push(chunk: Buffer): void
  /** Bytes that came and have not been heard. */
  readonly held: number
  /**
   * What the client has said next; undefined when more has to come, or what came has to wait for
   * the end of a planned response. Throws a RecordFault for what it may not say, and a
   * ClientAlert when it gives up.
   */
  hear(): Buffer | 'end' | undefined
  /** The bytes for the wire that say this. They are good until `sent`. */
  say(chunks: readonly Buffer[]): Buffer[]
  /** What the last `say` gave has gone out; not called when it never will. */
  sent(): void
  /** Something has to go out for what was heard, and may now. */
  readonly owesAnswer: boolean
  /** That; undefined when there is nothing. */
  answer(): Buffer | undefined
  /** A response with so long a body could be planned, and nothing has to go out before it. */
  hasRoom(length: number): boolean
  /**
   * Makes sure that a response with so long a body can be planned: what has to go out before it.
   * False when none so long can be.
   */
  makeRoom(length: number): readonly Buffer[] | false
  /** What is said next is a head and a body of so many bytes, as PlannedResponse lays them out. */
  plan(head: number, length: number): void
  /** A planned response is not said to its end. */
  readonly inPlan: boolean
  /** Bytes that are missing from it. */
  readonly planned: number
  /** Number of the next record; undefined where there are none. */
  readonly record: number | undefined
  /** Before anything is said: goes on in, or behind, what another process has begun. */
  resume(rest: RestOfPlan): void
  /**
   * The last words: that nothing follows, or what the client did wrong. Undefined in the middle
   * of a planned response, where the next number is that of the next part of it.
   */
  last(error?: unknown): Buffer | undefined
  state(): ConnectionState
  wipe(): void
}

export interface RestOfPlan {
  /** Bytes. */
  readonly head: number
  readonly length: number
  readonly record: number | undefined
  readonly skip: number
  /** Nothing is sealed after it: what follows may have been said by another host. */
  readonly last: boolean
}
