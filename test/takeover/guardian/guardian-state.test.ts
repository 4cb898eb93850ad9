import t from 'tap'
import { guardianState } from '../../../lib/takeover/guardian/guardian-state.ts'

t.test('it is off unless asked for, and nothing is looked at then', async t => {
  const detect = () => Promise.reject(new Error('looked at'))
  t.equal(await guardianState(false, detect), 'off')
})

t.test('where sockets can not be looked at it says why', async t => {
  const text = 'TCP connections can be moved on Linux only'
  const missing = { reason: 'not-linux', text } as const
  const none = {
    sockets: undefined,
    packets: undefined,
    addresses: undefined,
    strays: undefined,
    missing,
  }
  t.equal(await guardianState(true, async () => none), text)
})
