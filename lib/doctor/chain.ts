import type { Client } from './client.ts'
import type { ClientSession } from './client-session.ts'
import type { Kind } from './kind.ts'
import { type Mint, visitOf } from './matrix.ts'
import type { Target } from './target.ts'

/** A client that offers each ticket once, as browsers do, on one address after another. */
export interface ChainResult {
  /** Connections after the first. */
  readonly steps: number
  readonly resumed: number
  /** Resumed connections that brought a new ticket. */
  readonly renewed: number
  /** Connections for which no ticket was left. */
  readonly without: number
  readonly failed: number
}

export async function probeChain(
  kind: Kind,
  targets: readonly Target[],
  serverName: string,
  steps: number,
  client: Client,
  mint: Mint,
  random: () => number,
): Promise<ChainResult> {
  const count = { resumed: 0, renewed: 0, without: 0, failed: 0 }
  let purse: ClientSession[] = []
  for (let step = 0; step <= steps; step += 1) {
    const target = targets[Math.floor(random() * targets.length)]
    if (target === undefined) break
    const session = purse.pop()
    const offer = session === undefined ? {} : { session }
    const outcome = await client.visit(target, { ...visitOf(kind, serverName), ...offer })
    const fresh = mint.note(kind, target, outcome)
    purse = [...purse, ...fresh].slice(-mostKept)
    if (step === 0) continue
    if (session === undefined) count.without += 1
    if (!outcome.ok) count.failed += 1
    else if (outcome.resumed) {
      count.resumed += 1
      if (fresh.length > 0) count.renewed += 1
    }
  }
  return { steps, ...count }
}

/** Browsers keep few as well. */
const mostKept = 2
