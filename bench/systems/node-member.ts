/** What a Node server process is told to be, and what it answers. */
export interface NodeMember {
  readonly tls: {
    readonly key: string
    readonly cert: string
    readonly ca?: string | undefined
    readonly requestCert?: boolean | undefined
    readonly rejectUnauthorized?: boolean | undefined
  }
  readonly sharing: Sharing
}

/** How the process shares sessions with the other members. */
export type Sharing =
  | {
      readonly kind: 'handfast'
      readonly secret: string
      /** Of the farm; undefined where this host is all of it. */
      readonly port?: number
      readonly members: readonly string[]
      readonly mode: 'auto' | 'stateful'
      /** Folder in which the processes of one host meet; undefined for one by itself. */
      readonly host?: string
      /** URL of a Redis under the farm. */
      readonly redis?: string
    }
  /** Node's own floor: `servers` servers in one process, sessions in a Map of theirs. */
  | { readonly kind: 'map'; readonly servers: number }
  /** `ticketKeys`: 48 bytes, base64. */
  | { readonly kind: 'tickets'; readonly keys: string }
  /** The same keys by Node's hook for them, which renews each ticket that resumes. */
  | { readonly kind: 'hook'; readonly keys: string }
  | { readonly kind: 'redis'; readonly port: number }

export type MemberMessage =
  | { readonly kind: 'ready'; readonly ports: number[]; readonly detail?: string }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'cpu'; readonly used: number }
