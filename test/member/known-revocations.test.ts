import t from 'tap'
import type { Member } from '../../lib/farm/transport.ts'
import { KnownRevocations } from '../../lib/member/known-revocations.ts'

/* Who says yes opens sealed tickets, and what it does not know as revoked resumes. */

/** A transport that knows such members, and tells of a change when it is told to. */
class Met {
  readonly watchers: Set<() => void> = new Set()
  current = false
  #members: Member[] = []

  constructor(...states: Member['state'][]) {
    this.meet(...states)
  }

  meet(...states: Member['state'][]): void {
    const others = states.map((state, n) => member(`${n}`, state, false))
    this.#members = [member('self', 'ready', true), ...others]
  }

  tell(): void {
    for (const changed of this.watchers) changed()
  }

  members(): Member[] {
    return this.#members
  }

  isCurrent(): boolean {
    return this.current
  }

  watch(changed: () => void): () => void {
    this.watchers.add(changed)
    return () => void this.watchers.delete(changed)
  }
}

function member(id: string, state: Member['state'], self: boolean): Member {
  return { id, incarnation: 1, address: undefined, state, self }
}

t.test('who is alone lacks nothing, until it meets another', async t => {
  const farm = new Met()
  farm.current = true
  const known = new KnownRevocations(farm, false)
  t.equal(known.areAll, true)
  farm.current = false
  farm.meet('joining')
  t.equal(known.areAll, false)
  farm.current = true
  t.equal(known.areAll, true)
  farm.current = false
  t.equal(known.areAll, true, 'once is enough')
})

t.test('one that is gone may have left its keys behind', async t => {
  const farm = new Met()
  const known = new KnownRevocations(farm, false)
  farm.meet('gone')
  t.equal(known.areAll, false, 'also if nobody asked while it was there')
  farm.meet()
  t.equal(known.areAll, false, 'and when it is forgotten')
  farm.current = true
  t.equal(known.areAll, true)
})

t.test('one that took its leave, or is refused, has left none', async t => {
  t.equal(new KnownRevocations(new Met('left', 'refused'), false).areAll, true)
})

t.test(
  'who was current when it began knows all, whatever happens before it is asked',
  async t => {
    const farm = new Met('ready')
    t.equal(new KnownRevocations(farm, false).areAll, false)
    farm.current = true
    const known = new KnownRevocations(farm, false)
    farm.meet('gone')
    farm.current = false
    t.equal(known.areAll, true)
  },
)

t.test('a process of a host must be current with its hub', async t => {
  const farm = new Met()
  const known = new KnownRevocations(farm, true)
  t.equal(known.areAll, false)
  farm.current = true
  t.equal(known.areAll, true)
})

t.test('a member that nobody comes to notices what it is told of', async t => {
  const farm = new Met()
  const known = new KnownRevocations(farm, false)
  farm.meet('joining')
  farm.tell()
  farm.meet()
  t.equal(known.areAll, false, 'whom it met')
  farm.current = true
  farm.tell()
  farm.current = false
  t.equal(known.areAll, true, 'that it was current')
  t.equal(farm.watchers.size, 0, 'then there is nothing more to hear')
})

t.test('closed, it hears of nothing', async t => {
  const farm = new Met('joining')
  const known = new KnownRevocations(farm, false)
  t.equal(farm.watchers.size, 1)
  known.close()
  t.equal(farm.watchers.size, 0)
})
