import { randomBytes } from 'node:crypto'
import t from 'tap'
import {
  type DatagramHeader,
  datagramOverhead,
  datagramTypes,
  senderTag,
} from '../../lib/wire/datagram.ts'
import { epochKeyLength, Opener, Sealer } from '../../lib/wire/seal.ts'

const farmTag = 1
const sender = senderTag(1, 2)
const epochKey = randomBytes(epochKeyLength)
const body = Buffer.from('the session of ann')

function header(sequence: number, type: DatagramHeader['type'] = 1): DatagramHeader {
  return { type, flags: 0, epoch: 0, sender, sequence, tail: sequence, sentAt: 0 }
}

t.test('what is sealed opens, for whom it is meant', async t => {
  const sealer = new Sealer(0, epochKey, sender, farmTag)
  const datagram = sealer.seal(header(1), body)
  t.equal(datagram.length, datagramOverhead + body.length)
  t.equal(datagram.includes('ann'), false, 'nothing is in clear')
  t.same(new Opener(epochKey, sender).open(datagram, 'data'), body)
  const empty = sealer.seal(header(1, datagramTypes.leave), Buffer.alloc(0))
  t.same(new Opener(epochKey, sender).open(empty, 'control'), Buffer.alloc(0))
})

t.test('nothing else opens', async t => {
  const datagram = new Sealer(0, epochKey, sender, farmTag).seal(header(1), body)
  const opener = new Opener(epochKey, sender)
  for (let at = 0; at < datagram.length; at++)
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(datagram)
      flipped[at] = (flipped[at] ?? 0) ^ (1 << bit)
      if (opener.open(flipped, 'data') !== undefined)
        t.fail(`bit ${bit} of byte ${at} may be flipped`)
    }
  t.equal(opener.open(datagram, 'control'), undefined, 'in the other space')
  t.equal(
    new Opener(epochKey, senderTag(1, 3)).open(datagram, 'data'),
    undefined,
    'another life of the sender',
  )
  t.equal(
    new Opener(randomBytes(epochKeyLength), sender).open(datagram, 'data'),
    undefined,
    'another key',
  )
  t.same(opener.open(datagram, 'data'), body, 'and failing has broken nothing')
})

t.test('a nonce is never used twice', async t => {
  const sealer = new Sealer(0, epochKey, sender, farmTag)
  sealer.seal(header(5), body)
  t.throws(() => sealer.seal(header(5), body), { code: 'ERR_HANDFAST_USAGE' })
  t.throws(() => sealer.seal(header(4), body), { code: 'ERR_HANDFAST_USAGE' })
  t.ok(
    sealer.seal(header(1, datagramTypes.nack), body),
    'the spaces have keys of their own',
  )
  const same = new Sealer(0, epochKey, senderTag(1, 9), farmTag).seal(header(5), body)
  t.notSame(
    same.subarray(32),
    new Sealer(0, epochKey, sender, farmTag).seal(header(5), body).subarray(32),
    'the next life has another key, even from the same epoch key',
  )
})
