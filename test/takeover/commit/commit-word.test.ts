import t from 'tap'
import {
  type CommitWord,
  decodeReceipt,
  decodeWord,
  encodeReceipt,
  encodeWord,
  readPresence,
} from '../../../lib/takeover/commit/commit-word.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)

const [b, c] = ['bb'.repeat(8), 'cc'.repeat(8)]
const word: CommitWord = {
  life: 'aa'.repeat(8),
  number: 2 ** 40,
  names: [b, c],
  entries: [
    {
      id: Buffer.alloc(16, 1),
      standing: 'exact',
      acked: 2 ** 41,
      checkpoint: Buffer.from('one'),
    },
    {
      id: Buffer.alloc(16, 2),
      standing: 'suspended',
      acked: 0,
      checkpoint: Buffer.from('two'),
    },
  ],
}

t.test('words, receipts and presences are what they were', async t => {
  t.strictSame(decodeWord(encodeWord(word)), word)
  const over = { ...word, names: [], entries: [] }
  t.strictSame(decodeWord(encodeWord(over)), over)
  const receipt = { by: b, of: c, numbers: [1, 2 ** 40] }
  t.strictSame(decodeReceipt(encodeReceipt(receipt)), receipt)
  const presence = { member: 'b', life: b, fenced: [c], isLeaving: false }
  t.strictSame(readPresence(Buffer.from(JSON.stringify(presence))), presence)
})

t.test('anything else is nothing', async t => {
  const random = seededRandom(seed)
  const bytes = encodeWord(word)
  for (let length = 0; length < bytes.length; length++) {
    t.equal(decodeWord(bytes.subarray(0, length)), undefined)
  }
  t.equal(decodeWord(Buffer.concat([bytes, Buffer.alloc(1)])), undefined)
  t.equal(decodeWord(undefined), undefined)
  t.equal(decodeReceipt(Buffer.alloc(20)), undefined)
  t.equal(decodeReceipt(Buffer.alloc(8)), undefined)
  t.equal(decodeReceipt(Buffer.alloc(16 + 8 * 4_001)), undefined)
  t.equal(decodeReceipt(undefined), undefined)
  for (let round = 0; round < 2_000; round++) {
    const changed = Buffer.from(bytes)
    changed[Math.floor(random() * changed.length)] = random() * 256
    const read = decodeWord(changed)
    if (read !== undefined) t.ok(encodeWord(read).equals(changed))
  }
  const forms = [
    'no',
    '{}',
    '{"member":"b","life":"b","fenced":[],"isLeaving":false}',
    `{"member":"b","life":"${b}","fenced":[7],"isLeaving":false}`,
    `{"member":"b","life":"${b}","fenced":[],"isLeaving":0}`,
    `{"member":7,"life":"${b}","fenced":[],"isLeaving":false}`,
  ]
  for (const form of forms) t.equal(readPresence(Buffer.from(form)), undefined, form)
  t.equal(readPresence(undefined), undefined)
})
