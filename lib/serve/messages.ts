import type { AskedWord } from '../admin/admin.ts'
import type { Adopt, ToGuardian } from '../takeover/guardian/guardian-keeper.ts'
import type { GuardianState } from '../takeover/guardian/guardian-state.ts'
import type { SystemHandle } from '../takeover/guardian/system-handle.ts'
import type { ServeSettings } from './settings.ts'

/** From the primary to a worker, over the channel that node:cluster keeps between them. */
export type ToWorker =
  /** Answer to `hello`: what to serve. */
  | {
      readonly type: 'start'
      readonly settings: ServeSettings
      readonly slot: number
      /** See Readiness. */
      readonly notReady: string | undefined
      readonly guardian: GuardianState
    }
  | Adopt
  | { readonly type: 'readiness'; readonly notReady: string | undefined }
  | { readonly type: 'reload'; readonly settings: ServeSettings }
  | { readonly type: 'reopen-logs' }
  | { readonly type: 'drain' }
  /**
   * The same where another worker is there already: what can be goes on with that one. `held`: ids
   * of the connections that the guardian has; others it turned away, and they end here.
   */
  | { readonly type: 'leave'; readonly held: readonly string[] }
  /** Answer to `left`: nothing that was sent before is on its way any more. */
  | { readonly type: 'bye' }

/** Of the messages between the two: a supervisor starts workers of later releases. */
export const workerProtocol = 1

/** From a serving process to the process that started it, when there is a channel. */
export type FromServer =
  /** First message of a worker: what is sent before someone listens may be lost. */
  | { readonly type: 'hello'; readonly protocol: number }
  | {
      readonly type: 'listening'
      readonly host: string
      readonly port: number
      readonly farmAddress: string | undefined
    }
  | { readonly type: 'stats'; readonly stats: ServerStats }
  /** Somebody has asked this worker for what the primary does. */
  | { readonly type: 'asked'; readonly word: AskedWord }
  | ToGuardian
  /** It has drained. A connection that node:cluster has sent it meanwhile must be sent back yet. */
  | { readonly type: 'left' }
  | { readonly type: 'failed'; readonly message: string; readonly exitCode: number }

export interface ServerStats {
  readonly connections: number
  readonly requests: number
  readonly full: number
  readonly resumedLocal: number
  readonly resumedPeer: number
}

/** Tells the parent, if there is one that listens. */
export function tellParent(message: FromServer): void {
  if (process.connected && process.send !== undefined) {
    // The parent may go at any moment; its going is noticed elsewhere.
    process.send(message, () => {})
  }
}

/** The same with a socket, of which the parent has a duplicate then. */
export function tellGuardian(
  message: ToGuardian,
  handle: SystemHandle | undefined,
  done: () => void,
): void {
  if (process.connected && process.send !== undefined) {
    process.send(message, handle as never, undefined, done)
  } else done()
}

export function isToGuardian(message: FromServer): message is ToGuardian {
  const { type } = message
  return type === 'checkpoint' || type === 'give' || type === 'retire'
}
