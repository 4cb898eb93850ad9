import type { Client, Failure, Outcome, Visit } from './client.ts'
import type { ClientSession } from './client-session.ts'
import type { Kind, KindName } from './kind.ts'
import type { Target } from './target.ts'

/** What became of a session that one address made and another was offered. */
export interface Cell {
  readonly from: string
  readonly to: string
  readonly outcome:
    | 'resumed'
    /** A full handshake. */
    | 'full'
    /** The offer broke the connection. */
    | 'failed'
    /** The address makes no such sessions. */
    | 'not-made'
  readonly code?: string
}

/** A session as its maker handed it out. */
export interface SeenTicket {
  readonly address: string
  readonly kind: KindName
  /** Bytes of the ticket. */
  readonly length: number
  /** First 16 bytes as hex: for most servers the name of the key that sealed it. */
  readonly start: string
  readonly lifetimeHint: number | undefined
}

export interface KindResult {
  readonly kind: KindName
  /** Addresses that make such sessions. */
  readonly makers: readonly string[]
  /** Addresses that do not speak this version of TLS. */
  readonly unspoken: readonly string[]
  readonly cells: readonly Cell[]
}

/** Makes sessions of a kind on addresses and remembers what was seen of them. */
export class Mint {
  readonly #client: Client
  readonly #serverName: string
  readonly #stock = new Map<string, ClientSession[]>()
  readonly #seen: SeenTicket[] = []
  readonly #failures = new Map<string, Failure>()

  constructor(client: Client, serverName: string) {
    this.#client = client
    this.#serverName = serverName
  }

  get seen(): readonly SeenTicket[] {
    return this.#seen
  }

  /** A session to offer once, or one that may be offered again, as the kind has it. */
  async take(kind: Kind, target: Target): Promise<ClientSession | undefined> {
    const place = `${kind.name} ${target.label}`
    let stock = this.#stock.get(place)
    if (stock === undefined || stock.length === 0) {
      stock = await this.#make(kind, target)
      this.#stock.set(place, stock)
    }
    return kind.singleUse ? stock.shift() : stock[0]
  }

  /** Why the last attempt to make one failed, if it did. */
  failure(kind: Kind, target: Target): Failure | undefined {
    return this.#failures.get(`${kind.name} ${target.label}`)
  }

  /** Notes the sessions of a connection; answers those of the kind. */
  note(kind: Kind, target: Target, outcome: Outcome): ClientSession[] {
    if (!outcome.ok) return []
    const sessions = outcome.sessions.filter(session => isOf(kind, session))
    for (const { ticket, lifetimeHint } of sessions) {
      if (ticket === undefined) continue
      this.#seen.push({
        address: target.label,
        kind: kind.name,
        length: ticket.length,
        start: ticket.toString('hex', 0, 16),
        lifetimeHint,
      })
    }
    return sessions
  }

  async #make(kind: Kind, target: Target): Promise<ClientSession[]> {
    const outcome = await this.#client.visit(target, visitOf(kind, this.#serverName))
    const place = `${kind.name} ${target.label}`
    if (outcome.ok) this.#failures.delete(place)
    else this.#failures.set(place, outcome.failure)
    return this.note(kind, target, outcome)
  }
}

/** Every address makes a session for every address, and each is offered there. */
export async function probeKind(
  kind: Kind,
  targets: readonly Target[],
  serverName: string,
  client: Client,
  mint: Mint,
): Promise<KindResult> {
  const cells: Cell[] = []
  const makers = new Set<string>()
  const unspoken = new Set<string>()
  for (const from of targets) {
    for (const to of targets) {
      const place = { from: from.label, to: to.label }
      const session = unspoken.has(from.label) ? undefined : await mint.take(kind, from)
      if (session === undefined) {
        if (mint.failure(kind, from) === 'version') unspoken.add(from.label)
        cells.push({ ...place, outcome: 'not-made' })
        continue
      }
      makers.add(from.label)
      const visit = { ...visitOf(kind, serverName), session, stay: false }
      cells.push({ ...place, ...cellOf(await client.visit(to, visit)) })
    }
  }
  return { kind: kind.name, makers: [...makers], unspoken: [...unspoken], cells }
}

/** A connection of this kind that stays for what the server hands out. */
export function visitOf(kind: Kind, serverName: string): Visit {
  const { version, secureOptions } = kind
  return { serverName, version, secureOptions, stay: true }
}

export function cellOf(outcome: Outcome): Pick<Cell, 'outcome' | 'code'> {
  if (!outcome.ok) return { outcome: 'failed', code: outcome.code || outcome.failure }
  return { outcome: outcome.resumed ? 'resumed' : 'full' }
}

function isOf(kind: Kind, { id, ticket }: ClientSession): boolean {
  return kind.name === 'tls12-id'
    ? id.length > 0 && ticket === undefined
    : ticket !== undefined
}
