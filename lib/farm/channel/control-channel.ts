import type { TableId } from '../../record/key.ts'
import type { CacheRecord } from '../../record/record.ts'
import type { AbsentMember, Member, TransportStats } from '../transport.ts'
import type { Order } from './questions.ts'

/**
 * Ordered, authenticated messages between two members: all that the engine says where there
 * are no datagrams; where there are, keys, joining, tables and what those could not bring.
 */
export interface ControlChannel {
  /**
   * Who is told what happens. Called once, before `start`. `up` is called for each connection
   * with another member, after any `down` of an earlier one; messages come between the two.
   */
  listen(listener: ControlListener): void
  /** Resolves when every member that can be reached is connected. Rejects like `Transport`. */
  start(): Promise<void>
  /**
   * Sends a message of up to 256 KiB. Lost when the connection is, which `down` then tells;
   * one that is `spare` also when the connection has too much to send already.
   */
  send(to: string, message: Buffer, spare?: boolean): void
  /** Calls `fn` once, when the connection has taken all that was sent; not when it is lost. */
  onceDrained(to: string, fn: () => void): void
  /** As in `Transport`. `among`: whom to ask; default: all that are ready, at once. */
  fetch(
    table: TableId,
    key: Buffer,
    budget: number,
    among?: Among,
  ): Promise<CacheRecord | undefined>
  /** By how much the member's wall clock is ahead of ours, ms. */
  ahead?(id: string): number
  /** As in `Transport`: members that no message reaches. */
  absent?(): AbsentMember[]
  /** The others, as their connections show them; those too that won't talk to us. */
  members?(): Member[]
  /** Tells the others that this member holds what they hold. */
  ready?(): void
  /** 48 bits, another at each start. */
  readonly incarnation?: number | undefined
  /** `host:port` under which others reach this member. */
  readonly address?: string | undefined
  stats?(): TransportStats
  close(): Promise<void>
}

/** Members to ask, the likeliest first, and how. */
export interface Among {
  readonly ids: readonly string[]
  readonly asks: Order
}

export interface ControlListener {
  up(peer: LinkedMember): void
  down(id: string): void
  /** After `down`: the connection will not stand again in a moment. */
  gone?(id: string): void
  /** After `down`, or in its place: one of the two refuses to talk to the other. */
  refused?(id: string): void
  message(from: string, message: Buffer): void
}

export interface LinkedMember {
  /** The member's id, as the handshake proved it. */
  readonly id: string
  /** The address it was reached under; its datagrams go there too. */
  readonly host: string
  /** `host:port` under which it can be dialled. */
  readonly address?: string | undefined
}
