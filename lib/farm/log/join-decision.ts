import type { MemberState } from '../../wire/frame-greeting.ts'

/** What a joining member knows of its surroundings. */
export interface JoinView {
  readonly selfId: string
  /** Members with which a link stands. */
  readonly peers: readonly { readonly id: string; readonly state: MemberState }[]
  /** Some address has neither answered nor refused yet. */
  readonly untried: boolean
  /** Milliseconds since the start. */
  readonly elapsed: number
  readonly joinTimeout: number
  /** Ready members that failed to give a snapshot just now. */
  readonly failedDonors: ReadonlySet<string>
  /** How often a snapshot failed, whoever was to give it. */
  readonly failures: number
}

export type JoinDecision =
  | { readonly do: 'wait' }
  | { readonly do: 'sync'; readonly donor: string }
  | { readonly do: 'be ready'; readonly because: ReadyCause }

export type ReadyCause =
  | 'nobody is reachable'
  | 'first of the members that are joining'
  | 'the members that are joining take too long'
  | 'no member could give its state'

const mostFailures = 8

/**
 * What a member does that holds no state yet. Members that all start at once each see only
 * others that are joining too: the one with the lowest name goes first, the others sync from
 * it. No answer of the network makes it wait for ever.
 */
export function decideJoin(view: JoinView): JoinDecision {
  const { peers, selfId, elapsed, joinTimeout, failedDonors, failures } = view
  const ready = peers.filter(peer => peer.state === 'ready').map(peer => peer.id)
  const donor = ready.find(id => !failedDonors.has(id)) ?? ready[0]
  if (donor !== undefined) {
    if (failures < mostFailures) return { do: 'sync', donor }
    return { do: 'be ready', because: 'no member could give its state' }
  }
  if (view.untried && elapsed < joinTimeout) return { do: 'wait' }
  if (peers.length === 0) return { do: 'be ready', because: 'nobody is reachable' }
  if (peers.every(peer => selfId < peer.id)) {
    return { do: 'be ready', because: 'first of the members that are joining' }
  }
  if (elapsed < 2 * joinTimeout) return { do: 'wait' }
  return { do: 'be ready', because: 'the members that are joining take too long' }
}
