import t from 'tap'
import { AckWindow } from '../../../lib/farm/sending/ack-window.ts'
import { OwnLoop } from '../../../lib/farm/sending/own-loop.ts'
import { ceilingFor } from '../../../lib/farm/settings.ts'

t.test('strict: the next segment leaves when the one before came back', async t => {
  const loop = new OwnLoop('strict', 0)
  t.ok(loop.permits)
  loop.sent(1, 0)
  t.notOk(loop.permits)
  for (let i = 0; i < 8; i++) loop.passed()
  loop.returned(1, 1)
  t.ok(loop.permits)
  t.equal(loop.mean, 1, 'eight segments of others, smoothed over eight')
  loop.sent(2, 2)
  loop.expire(10, false)
  t.notOk(loop.permits)
  loop.expire(22, true)
  t.notOk(loop.permits, 'our own loop was late: the copy may lie in the socket')
  loop.expire(42, false)
  t.ok(loop.permits, 'it never waits for ever')
  t.equal(loop.lost, 1)
  t.ok(loop.healthy)
  for (let sequence = 3; sequence < 6; sequence++) {
    loop.sent(sequence, 100 * sequence)
    loop.expire(100 * sequence + 21, false)
  }
  t.notOk(loop.healthy, 'three in a row: the trouble may be ours')
})

t.test('adaptive: the window grows without loss and halves with it', async t => {
  const loop = new OwnLoop('adaptive', 0)
  t.equal(loop.window, 16)
  let now = 0
  for (let sequence = 1; sequence <= 50; sequence++) {
    loop.sent(sequence, now)
    now += 101
    loop.returned(sequence, now)
  }
  t.equal(loop.window, 64, 'at most')
  for (let sequence = 51; sequence <= 53; sequence++) loop.sent(sequence, now)
  loop.returned(53, now)
  t.equal(loop.window, 32, 'two copies did not come')
  t.equal(loop.lost, 2)
  for (let sequence = 54; sequence <= 73; sequence++) loop.sent(sequence, now)
  loop.asked(10)
  loop.returned(54, now + 101)
  t.equal(loop.window, 16, 'receivers that are overrun count too')
})

t.test('the ceiling follows the buffer of the socket', async t => {
  t.equal(ceilingFor(4 * 1024 * 1024), 14_000)
  t.equal(ceilingFor(212_992), 4_000)
})

t.test('ackers hold the sender up, but not for ever', async t => {
  const window = new AckWindow<string>(4)
  t.ok(window.permits(1_000), 'nobody acknowledges')
  window.add('a', 0, 0)
  window.add('b', 0, 0)
  window.sent(1, 0)
  window.acked('a', 4, 100, 4, 10)
  t.notOk(window.permits(4))
  t.ok(window.behind(4))
  t.equal(window.deadline(4), 1_000)
  window.expire(4, 1_000, true)
  t.notOk(window.permits(4), 'our own loop was late')
  window.expire(4, 2_000, false)
  t.ok(window.permits(4))
  t.equal(window.silent, 1)
  t.ok(window.permits(7))
  t.notOk(window.permits(8), 'the other one still counts')
  window.acked('b', 6, 100, 8, 3_000)
  t.equal(window.silent, 0, 'back')
  window.acked('b', 8, 1, 8, 3_000)
  window.acked('a', 8, 1, 8, 3_000)
  t.notOk(window.permits(9), 'its own window counts')
  window.leaveOut('a')
  window.remove('b')
  t.ok(window.permits(99))
  t.same(window.ids(), ['a'])
})
