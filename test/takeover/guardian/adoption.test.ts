import t from 'tap'
import { judgeAdoption } from '../../../lib/takeover/guardian/adoption.ts'
import {
  askedCheckpoint,
  fullCheckpoint,
  idleCheckpoint,
} from '../../fixtures/takeover/checkpoints.ts'

const { position, readPosition } = idleCheckpoint

t.test('an idle connection goes on when nothing has happened since', async t => {
  const left = { written: position, read: readPosition }
  t.strictSame(judgeAdoption(idleCheckpoint, left), { kind: 'idle' })
})

t.test('one on which something was said is reset', async t => {
  const left = { written: position + 1, read: readPosition }
  t.strictSame(judgeAdoption(idleCheckpoint, left), { kind: 'reset', cause: 'stale' })
  t.strictSame(judgeAdoption(askedCheckpoint, left), { kind: 'reset', cause: 'stale' })
})

t.test('one on which not all of it was said is reset', async t => {
  const left = { written: position - 1, read: readPosition }
  t.strictSame(judgeAdoption(idleCheckpoint, left), { kind: 'reset', cause: 'stale' })
})

t.test('one whose client has asked something that is lost is reset', async t => {
  const left = { written: position, read: readPosition + 1 }
  t.strictSame(judgeAdoption(idleCheckpoint, left), {
    kind: 'reset',
    cause: 'input-lost',
  })
})

t.test('a request without an answer is asked again when that does no harm', async t => {
  const left = { written: position, read: readPosition }
  t.strictSame(judgeAdoption(askedCheckpoint, left), { kind: 'ask', last: false })
  const { owed } = askedCheckpoint
  if (owed === undefined) throw new Error('there is one')
  const judge = (method: string, hasBody: boolean) => {
    const request = { ...owed.request, method, hasBody }
    return judgeAdoption({ ...askedCheckpoint, owed: { ...owed, request } }, left).kind
  }
  t.equal(judge('DELETE', false), 'ask')
  for (const method of ['POST', 'PATCH', 'LOCK']) t.equal(judge(method, false), 'fail')
  t.equal(judge('PUT', true), 'fail', 'its body is lost')
})

t.test(
  'an answer goes on wherever it is, and is the last where input is lost',
  async t => {
    const { position, readPosition: read } = fullCheckpoint
    for (const more of [0, 1, 2 ** 41]) {
      const adoption = judgeAdoption(fullCheckpoint, { written: position + more, read })
      t.strictSame(adoption, { kind: 'resume', last: false })
    }
    const left = { written: position, read: read + 40 }
    t.strictSame(judgeAdoption(fullCheckpoint, left), { kind: 'resume', last: true })
  },
)

t.test('what is no state of this connection is reset', async t => {
  const { position, readPosition, owed } = fullCheckpoint
  const before = (owed?.response?.planned.at ?? 0) - 1
  const stale = { kind: 'reset', cause: 'stale' }
  t.strictSame(judgeAdoption(fullCheckpoint, { written: before, read: 700 }), stale)
  const left = { written: position, read: readPosition - 1 }
  t.strictSame(judgeAdoption(fullCheckpoint, left), stale)
})
