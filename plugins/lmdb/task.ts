/** Of the file; a newer one is refused. */
export const schema = 1

export type Task =
  | { readonly op: 'open'; readonly terms: OpenTerms }
  | { readonly op: 'write'; readonly changes: ArrayBuffer }
  | { readonly op: 'get'; readonly key: Uint8Array }
  | { readonly op: 'scan'; readonly range: Range }
  | { readonly op: 'sweep'; readonly now: number; readonly limit: number }
  | { readonly op: 'close' }

export interface OpenTerms {
  readonly path: string
  /** All that the file may take. */
  readonly maxBytes: number
  readonly fsync: boolean
  /** The thread that reads opens what the other one has made. */
  readonly readOnly: boolean
}

export interface Range {
  /** Keys that begin with it. */
  readonly prefix: Uint8Array
  /** Behind this key. */
  readonly after: Uint8Array | undefined
  readonly limit: number
  /** Stops behind the entry that reaches it. */
  readonly mostBytes: number
}

/** What became of a change. */
export const outcomes = { unchanged: 0, made: 1, full: 2 } as const

/** `full`: there was no room for it, and nothing that could be given up. */
export type Outcome = keyof typeof outcomes

export interface Figures {
  readonly entries: number
  /** Of pages in use. */
  readonly bytes: number
  /** Given up for want of room since it was opened. */
  readonly evicted: number
}

export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: {
    readonly message: string
    readonly code: string | number | undefined
  }
}
