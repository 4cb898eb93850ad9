import type { Backend, BackendState } from '../backend/backend.ts'
import type { BackendCall, BackendHandler, BackendRequest } from '../backend/request.ts'
import type { SlotLimit, SlotUse } from '../backend/slots.ts'
import type { Fields } from '../http/fields.ts'
import type { Urgency } from './queue/urgency.ts'
import type { Policy } from './selection/policy.ts'

/** All that a choice of backend, and of who comes first, may go by. */
export interface DispatchRequest extends BackendRequest {
  /** What it costs a backend to begin with. */
  readonly use: SlotUse
  /** The network that it counts for where backends are shared out; undefined: for nobody's. */
  readonly network: string | undefined
  /** Its connection is a trusted proxy's, which speaks for many clients. */
  readonly trusted?: boolean | undefined
  /** Who is logged in. */
  readonly user?: string | undefined
  readonly preference?: Preference | undefined
  /** The backend that its URL names, or the page that it comes from. The client's word. */
  readonly named?: string | undefined
  /** Its fields as the backend of that origin is to have them. Default: the same for all. */
  readonly fieldsAt?: ((fields: Fields, origin: string) => Fields) | undefined
  /** It is at this backend already: a second try, which goes to another one or nowhere. */
  readonly beside?: BackendState | undefined
  /** How it stands beside others where backends have to be waited for. Default: as most. */
  readonly urgency?: Urgency | undefined
}

/** What a choice goes by for a client that has been here before. */
export interface Preference {
  /** To come first if it is ready, drained or not. */
  readonly first: BackendState | undefined
  /** In place of the usual one: by it all proxies choose alike. */
  readonly policy: Policy | undefined
}

/**
 * As of a backend, with these differences, for there may be more than one behind it:
 *
 * - `onSend` and `onInform` may come again until `onResponse`, or `onUpgrade`, comes; that comes
 *   once. What `onData` has told is never told again.
 * - `onError` comes once, when no other backend can or may be asked. Its error is what the last
 *   one that was asked came to; without one, one of no-backend.ts.
 */
export interface DispatchHandler extends BackendHandler {
  /** A backend has no room left. Another may be asked yet, or it waited for. */
  onLimit(limit: SlotLimit, backend: Backend): void
}

/** The same object from the first attempt to the last byte, whichever backend it is at. */
export interface DispatchCall extends BackendCall {
  /** Origin of the backend that the request was last given to. */
  readonly backend: string | undefined
  /** How often its response has gone on at another backend. */
  readonly resumptions: number
  /**
   * The first bytes of a body that the client held back (a use of `held`) are there: from now on
   * the request costs a backend work. When there is no room for that it is over.
   */
  bodyArrived(): void
}
