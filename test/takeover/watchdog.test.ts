import { Socket } from 'node:net'
import t from 'tap'
import type { SystemHandle } from '../../lib/takeover/guardian/system-handle.ts'
import { LastWatch, type ToWatchdog, Watchdog } from '../../lib/takeover/host/watchdog.ts'
import { StepClock } from '../fixtures/takeover/step-clock.ts'

/** A socket with a handle that is none of the system's. */
function socketOf(fd: number): Socket {
  const socket = new Socket()
  const handle = { fd, close: (done?: () => void) => done?.(), readStop() {} }
  Object.assign(socket, { _handle: handle })
  return socket
}

function world() {
  const clock = new StepClock()
  const said: string[] = []
  const waiting: (() => void)[] = []
  const watchdog = new Watchdog((message, handle, done) => {
    said.push(wordOf(message, handle))
    waiting.push(done)
  }, clock)
  return { clock, said, waiting, watchdog }
}

function wordOf(message: ToWatchdog, handle: SystemHandle | undefined): string {
  if (message.type === 'addresses') return message.addresses.join()
  if (message.type === 'over') return 'over'
  return `${message.type} ${message.id}${handle === undefined ? '' : ` of ${handle.fd}`}`
}

t.test('what lasts is held, and let go when it is over', async t => {
  const { clock, said, watchdog } = world()
  const [short, long] = [socketOf(7), socketOf(8)]
  watchdog.watch(short)
  watchdog.watch(long)
  short.emit('close')
  await clock.pass(200)
  t.strictSame(said, ['hold 1 of 8'])
  long.emit('close')
  t.strictSame(said, ['hold 1 of 8', 'retire 1'])
})

t.test('one that has just been closed is not held', async t => {
  const { clock, said, watchdog } = world()
  const socket = new Socket()
  watchdog.watch(socket)
  await clock.pass(200)
  t.strictSame(said, [])
})

t.test('a watchdog that stands still is given no more than it can take', async t => {
  const { clock, said, waiting, watchdog } = world()
  for (let fd = 1; fd <= 1_200; fd++) watchdog.watch(socketOf(fd))
  await clock.pass(200)
  t.equal(said.length, 1_000)
  t.equal(watchdog.size, 0)
  for (const done of waiting.splice(0)) done()
  await clock.pass(200)
  t.equal(said.length, 1_200)
  t.equal(watchdog.size, 1_000)
})

t.test('another watchdog is told all that the one before it knew', async t => {
  const { clock, said, watchdog } = world()
  watchdog.watch(socketOf(7))
  watchdog.addresses('eth0', ['10.0.0.1'])
  await clock.pass(200)
  said.length = 0
  watchdog.renew()
  t.strictSame(said, ['10.0.0.1', 'hold 2 of 7'])
})

t.test('after an end in order nothing is held any more', async t => {
  const { clock, said, watchdog } = world()
  watchdog.watch(socketOf(7))
  watchdog.close()
  watchdog.watch(socketOf(8))
  watchdog.addresses('eth0', [])
  await clock.pass(200)
  t.strictSame(said, ['over'])
})

function lastWatch(refused = '') {
  const done: string[] = []
  const call = (name: string) => {
    done.push(name)
    if (name === refused) throw new Error('refused')
  }
  const watch = new LastWatch({
    native: {
      block: fd => call(`block ${fd}`),
      silence: fd => call(`silence ${fd}`),
    },
    addresses: {
      add: () => {},
      remove: (name, address) => call(`remove ${address} of ${name}`),
    },
  })
  const handle = (fd: number) => ({ fd, close: () => void done.push(`close ${fd}`) })
  return { done, watch, handle }
}

t.test(
  'when the process is killed nothing of its connections is heard any more',
  async t => {
    for (const refused of ['', 'block 7', 'silence 7', 'remove 10.0.0.1 of eth0']) {
      const { done, watch, handle } = lastWatch(refused)
      watch.heard({ type: 'hold', id: 1 }, handle(7))
      watch.heard({ type: 'hold', id: 2 }, handle(8))
      watch.heard({ type: 'hold', id: 3 }, handle(9))
      watch.heard({ type: 'retire', id: 2 }, undefined)
      watch.heard({ type: 'retire', id: 99 }, undefined)
      const addresses = { type: 'addresses', interface: 'eth0' } as const
      watch.heard({ ...addresses, addresses: ['10.0.0.1', '10.0.0.2'] }, undefined)
      t.equal(watch.orphaned(), 2)
      t.strictSame(done, [
        'close 8',
        'block 7',
        'block 9',
        'remove 10.0.0.1 of eth0',
        'remove 10.0.0.2 of eth0',
        'silence 7',
        'close 7',
        'silence 9',
        'close 9',
      ])
      t.equal(watch.orphaned(), 0)
    }
  },
)

t.test('when it ends in order its connections end as ever', async t => {
  const { done, watch, handle } = lastWatch()
  t.equal(watch.heard({ type: 'hold', id: 1 }, handle(7)), false)
  t.equal(watch.heard({ type: 'over' }, undefined), true)
  t.strictSame(done, ['close 7'])
})
