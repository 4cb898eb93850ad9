/** What this host or process lacks for a part of takeover. */
export interface Missing {
  readonly reason: MissingReason
  /** A sentence for people. */
  readonly text: string
}

export type MissingReason =
  | 'not-linux'
  | 'no-koffi'
  | 'old-kernel'
  | 'no-tcp-repair'
  | 'no-net-admin'
  | 'no-net-raw'
  | 'no-nft'
  | 'no-packet-log'
