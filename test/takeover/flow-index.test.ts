import t from 'tap'
import { encodeCheckpoint } from '../../lib/takeover/checkpoint/codec.ts'
import type { LeftConnection } from '../../lib/takeover/host/board/board.ts'
import { ownerOf } from '../../lib/takeover/host/board/connection-table.ts'
import { flowOf } from '../../lib/takeover/host/restore/flow.ts'
import { FlowIndex } from '../../lib/takeover/host/switch/flow-index.ts'
import { idleCheckpoint } from '../fixtures/takeover/checkpoints.ts'

const local = { address: '10.0.0.100', port: 443 }
const owner = ownerOf('a')

function idOf(number: number): Buffer {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(number)
  return id
}

function remoteOf(number: number) {
  return { address: '10.0.0.7', port: number }
}

function flow(number: number) {
  return flowOf(remoteOf(number), local)
}

/** Members that tell of connections, each known by its number. */
function told() {
  const words = new Map<string, readonly number[]>()
  const read: string[] = []
  const index = new FlowIndex((_, about) => {
    read.push(about)
    return (words.get(about) ?? []).map(left)
  })
  const tell = (about: Buffer, numbers: readonly number[]) => {
    words.set(about.toString('hex'), numbers)
    index.changed(owner, about.toString('hex'))
  }
  return { index, tell, read }
}

function left(number: number): LeftConnection {
  const ends = { id: idOf(number), local, remote: remoteOf(number) }
  const checkpoint = encodeCheckpoint({ ...idleCheckpoint, ...ends }) ?? Buffer.alloc(0)
  return { checkpoint, toldAt: 0, acked: 0, standing: 'loose' }
}

t.test('a flow is found by who told of it, until that is over', async t => {
  const { index, tell } = told()
  tell(idOf(1), [1])
  const about = idOf(1).toString('hex')
  t.strictSame(index.find(flow(1)), [{ owner, about, id: idOf(1) }])
  t.strictSame(index.find(flow(2)), [])
  index.over(owner, about)
  t.strictSame(index.find(flow(1)), [])
  tell(idOf(1), [1])
  index.forget('a')
  t.strictSame(index.find(flow(1)), [])
})

t.test('what is told of one connection again and again is opened once', async t => {
  const { index, tell, read } = told()
  for (let times = 0; times < 5; times++) {
    tell(idOf(1), [1])
    index.find(flow(1))
  }
  t.equal(read.length, 1)
})

t.test('of a bundle it is known who is in it now', async t => {
  const { index, tell } = told()
  const bundle = idOf(99)
  tell(bundle, [1, 2])
  t.equal(index.find(flow(2))?.length, 1)
  tell(bundle, [1])
  t.strictSame(index.find(flow(2)), [])
  t.equal(index.find(flow(1))?.length, 1)
})

t.test('what can not be read is of no flow', async t => {
  const index = new FlowIndex(() => [{ ...left(1), checkpoint: Buffer.from('none') }])
  index.changed(owner, idOf(1).toString('hex'))
  t.strictSame(index.find(flow(1)), [])
})

t.test('one stray has so much opened and no more, and others find the rest', async t => {
  const { index, tell, read } = told()
  for (let number = 1; number <= 1_200; number++) tell(idOf(number), [number])
  t.equal(index.find(flow(1_200)), undefined, 'nobody knows yet')
  t.equal(read.length, 500)
  t.equal(index.find(flow(1_200)), undefined)
  t.equal(index.find(flow(1_200))?.length, 1)
  t.equal(read.length, 1_200)
  t.strictSame(index.find(flow(60_000)), [], 'now it is known that there is none')
})
