import { type TopologyName, topologyOf } from '../../lib/cache/topology.ts'
import { linkSettings } from '../../lib/farm/settings.ts'
import { tables } from '../../lib/record/key.ts'
import { narrowHeader } from '../../lib/table/layout.ts'
import { CalmFarm } from '../../test/fixtures/simulator/calm-farm.ts'
import type { SimulatedMember } from '../../test/fixtures/simulator/member.ts'

export interface FarmPlan {
  readonly topology: TopologyName
  readonly proxies: number
  /** Beside them; 0 but for `tiered`. */
  readonly repositories: number
}

/** Where a client that comes back is known from. */
export type Place = 'sealed' | 'own' | 'peer' | 'repository' | 'none'

export interface Sought {
  readonly place: Place
  /** Questions to others, one after the other. */
  readonly asks: number
}

const keyLength = 32
/** Of a session with a P-256 certificate, bytes. */
const valueLength = 180
/** Of a table's index: 6.4 bytes in buckets that are three quarters full. */
const slotLength = 9
/** What a session takes in the table of a host that holds it, bytes. */
export const sessionBytes: number = narrowHeader + keyLength + valueLength + slotLength
/** The default of `mintBudget`, ms: so long a new session waits at most. */
const mintBudget = 10
/** Longest wait for all to have heard of a revocation, ms. */
const revocationBudget = 5_000

/** A farm in virtual time, and what its clients do there. */
export class ScaledFarm {
  readonly plan: FarmPlan
  readonly calm: CalmFarm
  readonly proxies: readonly SimulatedMember[]
  readonly repositories: readonly SimulatedMember[]
  readonly #byId: ReadonlyMap<string, SimulatedMember>
  readonly #waiting = new Map<number, () => void>()
  readonly #value = Buffer.alloc(valueLength, 7)
  #sessions = 0

  constructor(plan: FarmPlan) {
    const { topology: name, proxies, repositories } = plan
    this.plan = plan
    this.calm = new CalmFarm(proxies + repositories, linkSettings, {
      datagrams: false,
      topology: topologyOf({ name, copies: 2, asks: 'sequence', seed: 1 }),
      repositories,
    })
    const { members } = this.calm
    this.repositories = members.slice(0, repositories)
    this.proxies = members.slice(repositories)
    this.#byId = new Map(members.map(member => [member.id, member]))
    this.calm.onSettled = token => {
      const done = this.#waiting.get(token)
      this.#waiting.delete(token)
      done?.()
    }
  }

  get now(): number {
    return this.calm.agenda.now
  }

  run(ms: number): void {
    this.calm.run(ms)
  }

  proxy(index: number): SimulatedMember {
    return this.calm.at(this.repositories.length + (index % this.proxies.length))
  }

  /** A proxy stores a new session. `done`: its client is given it. Answers its key. */
  mint(proxy: SimulatedMember, done?: () => void): string {
    this.#sessions += 1
    const key = `session ${this.#sessions}`.padEnd(keyLength, '.')
    this.#await(
      this.calm.publish(proxy, proxy.write(key, this.#value), 'one', mintBudget),
      done,
    )
    return key
  }

  /** `done`: whoever revoked is told that it holds everywhere. Answers its key. */
  revoke(host: SimulatedMember, done: () => void): Buffer {
    this.#sessions += 1
    const record = host.write(
      `revocation ${this.#sessions}`.padEnd(keyLength, '.'),
      Buffer.alloc(8),
      tables.revocation,
    )
    this.#await(this.calm.publish(host, record, 'all', revocationBudget), done)
    return record.key
  }

  /** As Cache.find does; questions take no time. What is found is kept. */
  seek(asker: SimulatedMember, name: string): Sought {
    const key = Buffer.from(name)
    if (asker.cache.getLocal(tables.session, key) !== undefined)
      return { place: 'own', asks: 0 }
    const owners = asker.engine.owners(tables.session, key, this.now)
    let asks = 0
    for (const id of owners?.ids ?? this.#byId.keys()) {
      const other = this.#byId.get(id)
      if (other === undefined || other === asker) continue
      asks += 1
      const found = other.running ? other.cache.read(tables.session, key) : undefined
      if (found === undefined) continue
      asker.cache.apply(found)
      return { place: owners?.repositories === true ? 'repository' : 'peer', asks }
    }
    return { place: 'none', asks }
  }

  /** `done` is told after how many ms something holds at every host, looked at ten times a ms. */
  onceEverywhere(
    holds: (host: SimulatedMember) => boolean,
    done: (ms: number) => void,
  ): void {
    const from = this.now
    const left = this.calm.members.filter(({ running }) => running)
    const look = () => {
      for (let host = left.at(-1); host !== undefined && holds(host); host = left.at(-1))
        left.pop()
      if (left.length === 0) done(this.now - from)
      else this.calm.agenda.after(0.1, look)
    }
    look()
  }

  #await(token: number, done: (() => void) | undefined): void {
    if (done === undefined) return
    // Where nobody is waited for it has been said already.
    if (this.calm.settlements.has(token)) done()
    else this.#waiting.set(token, done)
  }
}

export function nameOf({ topology, repositories }: FarmPlan): string {
  return repositories === 0 ? topology : `${topology}, ${repositories} repositories`
}
