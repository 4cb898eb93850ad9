import { type Visit, visit } from './client.ts'
import type { Fleet } from './fleet.ts'
import { type Kind, kinds } from './kinds.ts'
import type { Paint } from './paint.ts'

/** A session, where it was minted and where it is offered; proxies count from 0. */
interface Case {
  readonly kind: Kind
  readonly from: number
  readonly to: number
  readonly session: Buffer | undefined
}

/**
 * Kills the first proxy and offers its sessions to the others, then starts it again and offers
 * it everyone's. True when all of them resumed.
 */
export async function showLoss(
  fleet: Fleet,
  ca: string,
  paint: Paint,
  say: (text: string) => void,
): Promise<boolean> {
  const mint = async (from: number, to: number, kind: Kind): Promise<Case> => {
    const { session } = await visit({ port: fleet.ports[from] ?? 0, kind, ca })
    return { kind, from, to, session }
  }
  const offer = async ({ kind, to, session }: Case): Promise<Visit> =>
    await visit({ port: fleet.ports[to] ?? 0, kind, ca, session })

  const orphans: Case[] = []
  const returning: Case[] = []
  for (const kind of kinds) {
    for (const to of [1, 2]) orphans.push(await mint(0, to, kind))
    for (const from of [0, 1, 2]) returning.push(await mint(from, 0, kind))
  }
  await fleet.kill(0)
  const lost = await failures(orphans, offer)
  say(
    report(lost, paint, 'killed proxy 1 with SIGKILL', 'its sessions resume on 2 and 3'),
  )
  await fleet.restart(0)
  const strange = await failures(returning, offer)
  say(
    report(
      strange,
      paint,
      'started proxy 1 again',
      'sessions of 2, 3 and its own of before resume on it',
    ),
  )
  say('')
  return lost.length + strange.length === 0
}

async function failures(
  cases: readonly Case[],
  offer: (one: Case) => Promise<Visit>,
): Promise<Case[]> {
  const failed: Case[] = []
  for (const one of cases) {
    const { resumed } = await offer(one)
    if (!resumed) failed.push(one)
  }
  return failed
}

/** @internal */
export function report(
  failed: readonly Pick<Case, 'kind' | 'from' | 'to'>[],
  paint: Paint,
  event: string,
  claim: string,
): string {
  if (failed.length === 0) return paint.good(`${event}: ${claim}`)
  const list = failed.map(
    ({ kind, from, to }) => `${kind.title} of ${from + 1} on ${to + 1}`,
  )
  return paint.bad(`${event}: did not resume: ${list.join(', ')}`)
}
