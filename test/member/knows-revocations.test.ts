import t from 'tap'
import { type Clock, systemClock } from '../../lib/clock.ts'
import type { Member } from '../../lib/farm/transport.ts'
import { knowsRevocations, UntilKnown } from '../../lib/member/knows-revocations.ts'

/* Who says yes opens sealed tickets, and what it does not know as revoked resumes. */

function met(...states: Member['state'][]) {
  const state = { members: [] as Member[], current: false, meet }
  function meet(...states: Member['state'][]): void {
    const others = states.map((state, n) => member(`${n}`, state, false))
    state.members = [member('self', 'ready', true), ...others]
  }
  meet(...states)
  return {
    state,
    transport: { members: () => state.members, isCurrent: () => state.current },
  }
}

function member(id: string, state: Member['state'], self: boolean): Member {
  return { id, incarnation: 1, address: undefined, state, self }
}

t.test('who is alone lacks nothing, until it meets another', async t => {
  const { state, transport } = met()
  const knows = knowsRevocations(transport, false)
  t.equal(knows(), true)
  state.meet('joining')
  t.equal(knows(), false)
  state.current = true
  t.equal(knows(), true)
  state.current = false
  t.equal(knows(), true, 'once is enough')
})

t.test('one that is gone may have left its keys behind', async t => {
  const { state, transport } = met()
  const knows = knowsRevocations(transport, false)
  state.meet('gone')
  t.equal(knows(), false, 'also if nobody asked while it was there')
  state.meet()
  t.equal(knows(), false, 'and when it is forgotten')
  state.current = true
  t.equal(knows(), true)
})

t.test(
  'who was current when it began knows all, whatever happens before it is asked',
  async t => {
    const { state, transport } = met('ready')
    t.equal(knowsRevocations(transport, false)(), false)
    state.current = true
    const knows = knowsRevocations(transport, false)
    state.meet('gone')
    state.current = false
    t.equal(knows(), true)
  },
)

t.test('a process of a host must be current with its hub', async t => {
  const { state, transport } = met()
  const knows = knowsRevocations(transport, true)
  t.equal(knows(), false)
  state.current = true
  t.equal(knows(), true)
})

t.test('a member that nobody comes to notices by itself', async t => {
  const { state, transport } = met('joining')
  const looks: (() => void)[] = []
  const clock: Clock = {
    ...systemClock,
    after(_ms, look) {
      looks.push(look)
      return { cancel() {} }
    },
  }
  const knows = knowsRevocations(transport, false)
  const watch = new UntilKnown(knows, clock)
  state.current = true
  looks.shift()?.()
  state.current = false
  t.equal(knows(), true)
  watch.close()
  looks.shift()?.()
  t.equal(looks.length, 0, 'closed is closed')
})
