import { tables } from '../../lib/record/key.ts'
import { quantile } from '../harness/statistics.ts'
import { rest } from './cost.ts'
import type { Place, ScaledFarm } from './scaled-farm.ts'

export interface Load {
  /** New sessions a second, in the whole farm. */
  readonly rate: number
  /** How many new sessions are made. */
  readonly sessions: number
  /** Share of them that is stored; the others are sealed, and with their clients. */
  readonly stored: number
}

/** What clients meet that come back to any proxy. */
export interface Service {
  /** Share of the visits, by where the session was. */
  readonly hits: Readonly<Record<Place, number>>
  /** Questions for each session that was not there. */
  readonly asks: number
  /** Ms that a stored session waits for until its client is given it, p99. */
  readonly wait: number
}

export interface Spread {
  /** Virtual ms until every host finds a new session, the longest. */
  readonly resumable: number
  /** ... until a revocation holds at every host, and until its writer knows that; the longest. */
  readonly revoked: number
  readonly told: number
}

/** Each client comes back so often ... */
const visits = 2
/** ... so many ms after it was given its session, each power of ten as often as the next. */
const [soonest, latest] = [0.1, 1_000]
/** Sessions and revocations that are followed to every host. */
const followed = 10

/** Sessions are made by the proxies in turns, and offered to any of them. */
export function serve(
  farm: ScaledFarm,
  { rate, sessions, stored }: Load,
  random: () => number,
): Service {
  const counts: Record<Place, number> = {
    sealed: 0,
    own: 0,
    peer: 0,
    repository: 0,
    none: 0,
  }
  const waits: number[] = []
  let asks = 0
  let asked = 0
  const visit = (key: string) => {
    const found = farm.seek(farm.proxy(below(farm.proxies.length, random)), key)
    counts[found.place] += 1
    asks += found.asks
    if (found.asks > 0) asked += 1
  }
  for (let n = 0; n < sessions; n += 1) {
    if (random() >= stored) counts.sealed += visits
    else {
      const from = farm.now
      const key = farm.mint(farm.proxy(n), () => {
        waits.push(farm.now - from)
        for (let i = 0; i < visits; i += 1)
          farm.calm.agenda.after(delay(random), () => visit(key))
      })
    }
    farm.run(1_000 / rate)
  }
  farm.run(latest + rest)
  const share = (place: Place) => counts[place] / (sessions * visits)
  return {
    hits: {
      sealed: share('sealed'),
      own: share('own'),
      peer: share('peer'),
      repository: share('repository'),
      none: share('none'),
    },
    asks: asked === 0 ? 0 : asks / asked,
    wait: waits.length === 0 ? 0 : quantile(waits, 0.99),
  }
}

/** Follows a few sessions and revocations to every host, while others are made. */
export function spreadOf(farm: ScaledFarm, { rate, sessions, stored }: Load): Spread {
  const longest = { resumable: 0, revoked: 0, told: 0 }
  let left = 3 * followed
  const note = (what: keyof Spread, ms: number) => {
    longest[what] = Math.max(longest[what], ms)
    left -= 1
  }
  const all = Math.max(followed, Math.ceil(sessions * stored))
  const every = Math.floor(all / followed)
  for (let n = 0; n < all; n += 1) {
    const key = Buffer.from(farm.mint(farm.proxy(n)))
    if (n % every === 0 && n < every * followed) {
      farm.onceEverywhere(
        host => host.finds(tables.session, key),
        ms => note('resumable', ms),
      )
      const from = farm.now
      const revoked = farm.revoke(farm.proxy(7 * n + 3), () => {
        note('told', farm.now - from)
      })
      farm.onceEverywhere(
        host => host.cache.getLocal(tables.revocation, revoked) !== undefined,
        ms => note('revoked', ms),
      )
    }
    farm.run(1_000 / (rate * stored))
  }
  farm.run(rest)
  if (left > 0) throw new Error(`${left} of ${3 * followed} did not come everywhere`)
  return longest
}

/** A host is gone, the first that holds some: what others find of so many sessions at once. */
export function afterDeath(
  farm: ScaledFarm,
  sessions: number,
  random: () => number,
): { readonly found: number; readonly asks: number } {
  const keys: { readonly key: string; readonly from: number }[] = []
  for (let n = 0; n < sessions; n += 1) {
    keys.push({ key: farm.mint(farm.proxy(n)), from: n % farm.proxies.length })
    farm.run(1)
  }
  farm.run(rest)
  const dead = farm.repositories[0] ?? farm.proxy(0)
  dead.crash()
  farm.run(5)
  let found = 0
  let asks = 0
  let asked = 0
  for (const { key, from } of keys) {
    // Any proxy but the one that made it, and the dead one.
    const others = farm.proxies.filter(host => host.running && host !== farm.proxy(from))
    const asker = others[below(others.length, random)]
    if (asker === undefined) continue
    const sought = farm.seek(asker, key)
    if (sought.place !== 'none') found += 1
    asks += sought.asks
    if (sought.asks > 0) asked += 1
  }
  return { found: found / sessions, asks: asked === 0 ? 0 : asks / asked }
}

function delay(random: () => number): number {
  return soonest * (latest / soonest) ** random()
}

function below(count: number, random: () => number): number {
  return Math.floor(random() * count)
}
