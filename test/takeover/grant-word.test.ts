import t from 'tap'
import {
  readGrantReply,
  readGrantRequest,
} from '../../lib/takeover/host/switch/grant-word.ts'

const request = {
  connection: 'ab'.repeat(16),
  request: 'cd'.repeat(16),
  of: 'a',
  from: 'c',
  to: 'b',
}

t.test('a word of another release is read, or is none', async t => {
  const bytes = (word: object) => Buffer.from(JSON.stringify(word))
  t.strictSame(readGrantRequest(bytes({ ...request, more: 1 })), request)
  const reply = { ...request, isGranted: true }
  t.strictSame(readGrantReply(bytes(reply)), reply)
  for (const bad of [
    { ...request, connection: 'ab' },
    { ...request, request: 7 },
    { ...request, of: undefined },
    [],
  ]) {
    t.equal(readGrantRequest(bytes(bad)), undefined)
    t.equal(readGrantReply(bytes(bad)), undefined)
  }
  t.equal(readGrantReply(bytes({ ...request, isGranted: 'yes' })), undefined)
  for (const none of [undefined, Buffer.from('{'), Buffer.from('null')]) {
    t.equal(readGrantRequest(none), undefined)
  }
})
