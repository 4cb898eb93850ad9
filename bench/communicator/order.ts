import type { WriteLevel } from '../../lib/farm/transport.ts'

/** How a run sends its records. `tcp` is the plain way: one acknowledged message per peer. */
export interface Mode {
  readonly name: string
  readonly kind: 'tcp' | 'stream' | 'multicast' | 'unicast'
  /** Members that acknowledge: r1, r2, ... are repositories. */
  readonly acks: 'all' | 'none' | 'repositories'
  readonly level: WriteLevel
  /** Records share datagrams. False: the seed's own packet counts. */
  readonly batched: boolean
}

/** What the parent asks of a member process. */
export type Order =
  | {
      readonly order: 'start'
      readonly id: string
      readonly mode: Mode
      readonly repository: boolean
      readonly secret: string
      readonly groupPort: number
      /** Ids that are started already. */
      readonly others: readonly string[]
      /** For `tcp` and `stream`: where those that are started listen. */
      readonly ports: readonly number[]
    }
  /** Records a second for so many ms; 0: as many as there may be outstanding. */
  | {
      readonly order: 'write'
      readonly rate: number
      readonly outstanding: number
      readonly duration: number
    }
  | { readonly order: 'figures' | 'count' }
  | { readonly order: 'relay'; readonly from: string; readonly message: Uint8Array }
  | { readonly order: 'up' | 'down'; readonly id: string }
  | { readonly order: 'stop' }

export interface Figures {
  /** Microseconds of CPU since the last question. */
  readonly cpu: number
  readonly records: number
  /** Writer: from `publish` to its answer. Receiver: from the write to the table. In ms. */
  readonly latency: readonly number[]
  readonly stats: Readonly<Record<string, number>>
}

/** What a member process answers. */
export type Report =
  | { readonly report: 'ready'; readonly port: number }
  | { readonly report: 'written'; readonly records: number; readonly ms: number }
  | { readonly report: 'count'; readonly records: number }
  | { readonly report: 'figures'; readonly figures: Figures }
  | { readonly report: 'send'; readonly to: string; readonly message: Uint8Array }
