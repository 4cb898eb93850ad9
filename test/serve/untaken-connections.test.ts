import type { ChildProcess } from 'node:child_process'
import type { Worker } from 'node:cluster'
import { EventEmitter } from 'node:events'
import t from 'tap'
import { untakenBy, whenSilent } from '../../lib/serve/cluster/untaken-connections.ts'

class FakeWorker extends EventEmitter {
  readonly sent: unknown[] = []
  readonly channel = new EventEmitter()
  readonly process = Object.assign(this.channel, {
    send: (message: unknown, handle?: unknown) => this.sent.push([message, handle]) > 0,
  }) as unknown as ChildProcess
  connected = true

  isConnected(): boolean {
    return this.connected
  }

  /** As node:cluster does it. */
  gets(seq: number, handle: object, act = 'newconn'): unknown {
    const message = { cmd: 'NODE_CLUSTER', act, key: 'k', seq }
    this.process.send(message as never, handle as never)
    return message
  }

  asWorker(): Worker {
    return this as unknown as Worker
  }
}

class Handle {
  closed = 0
  close(): void {
    this.closed += 1
  }
}

t.test('what a dead worker had not taken goes to one that serves', async t => {
  const [dead, heir] = [new FakeWorker(), new FakeWorker()]
  const give = untakenBy(dead)
  const giveOfHeir = untakenBy(heir)
  const [taken, untaken] = [new Handle(), new Handle()]
  dead.gets(1, taken)
  const message = dead.gets(2, untaken)
  dead.channel.emit('internalMessage', { ack: 1, accepted: true })
  give(heir)
  t.strictSame(heir.sent, [[message, untaken]], "so that Node's own answer is the heir's")
  t.equal(taken.closed + untaken.closed, 0)
  give(heir)
  t.equal(heir.sent.length, 1, 'once')
  giveOfHeir(undefined)
  t.equal(untaken.closed, 1, 'and what nobody has taken in the end is closed')
})

t.test('other messages are what they were', async t => {
  const worker = new FakeWorker()
  const give = untakenBy(worker)
  const handle = new Handle()
  worker.process.send({ type: 'adopt' } as never, handle as never)
  worker.gets(3, handle, 'online')
  worker.gets(4, {})
  worker.channel.emit('internalMessage', { cmd: 'NODE_CLUSTER' })
  t.equal(worker.sent.length, 3)
  give(undefined)
  t.equal(handle.closed, 0)
})

t.test('one whose channel has ended is silent', async t => {
  const worker = new FakeWorker()
  worker.connected = false
  let silent = 0
  whenSilent(worker.asWorker(), () => silent++)
  t.equal(silent, 1)
})

t.test('one whose channel is open yet is waited for, but not for ever', async t => {
  const [told, untold] = [new FakeWorker(), new FakeWorker()]
  let silent = 0
  whenSilent(told.asWorker(), () => silent++)
  t.equal(silent, 0)
  told.emit('disconnect')
  t.equal(silent, 1)
  await new Promise<void>(resolve => whenSilent(untold.asWorker(), resolve))
  t.equal(untold.listenerCount('disconnect') + told.listenerCount('disconnect'), 0)
})
