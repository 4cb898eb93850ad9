import type { Checkpoint } from '../checkpoint/checkpoint.ts'

/** What the kernel says of the socket of somebody who has died: bytes since accept. */
export interface LeftBehind {
  /** Given to the kernel. */
  readonly written: number
  /** Taken from it. */
  readonly read: number
}

/**
 * How a connection goes on:
 *
 * - `idle`: it waits for a request.
 * - `ask`: its request is served anew, nothing of the answer has been said.
 * - `fail`: so it is, but it must not be asked twice, or its body is gone: it is told of a 502.
 * - `resume`: its answer goes on at `written`.
 * - `reset`: it can't, and why.
 *
 * `last`: the client has said more, which died with the worker: after this answer it ends.
 */
export type Adoption =
  | { readonly kind: 'idle' }
  | { readonly kind: 'ask' | 'fail' | 'resume'; readonly last: boolean }
  | { readonly kind: 'reset'; readonly cause: 'stale' | 'input-lost' }

/** RFC 9110 9.2.2. */
const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'])

/** In any doubt the answer is to end it: what goes on is what the checkpoint tells of exactly. */
export function judgeAdoption(
  { owed, position, readPosition }: Checkpoint,
  { written, read }: LeftBehind,
): Adoption {
  // Less than was read when the checkpoint was written is not of this connection.
  if (read < readPosition) return { kind: 'reset', cause: 'stale' }
  const last = read > readPosition
  if (owed?.response !== undefined) {
    const { at } = owed.response.planned
    return written < at ? { kind: 'reset', cause: 'stale' } : { kind: 'resume', last }
  }
  // Bytes that were said since, or that died on their way to the kernel.
  if (written !== position) return { kind: 'reset', cause: 'stale' }
  if (owed === undefined) {
    return last ? { kind: 'reset', cause: 'input-lost' } : { kind: 'idle' }
  }
  const { method, hasBody } = owed.request
  const again = idempotent.has(method) && !hasBody
  return { kind: again ? 'ask' : 'fail', last }
}
