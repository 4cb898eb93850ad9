import t from 'tap'
import { EpochKey } from '../../../lib/resumption/ticket/epoch-key.ts'
import { EpochKeys } from '../../../lib/resumption/ticket/ticket-epoch.ts'
import { TicketKeyring } from '../../../lib/resumption/ticket/ticket-keyring.ts'
import {
  decodeTicketRecord,
  encodeTicketRecord,
  entryLength,
  mostEntries,
  TicketSeal,
  ticketRecordKey,
  ticketRecordLayout,
} from '../../../lib/resumption/ticket/ticket-record.ts'
import { TicketSchedule } from '../../../lib/resumption/ticket/ticket-schedule.ts'
import { seededRandom } from '../../fixtures/random.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const period = 8 * hour
/** The start of an epoch, in 2026. */
const epochStart = Math.ceil(Date.UTC(2026, 2, 1) / period) * period

t.test('the layout of a record of ticket keys is fixed', async t => {
  const seal = new TicketSeal(Buffer.alloc(32, 1), 'farm', size => Buffer.alloc(size, 2))
  const place = { period, epoch: 5 }
  const entry = seal.seal(place, Buffer.alloc(32, 9), 77)
  const value = encodeTicketRecord([entry])
  t.equal(ticketRecordLayout, 1)
  t.equal(entryLength, 83)
  t.equal(value.length, 2 + 83)
  t.equal(ticketRecordKey(period, 5).toString(), 'ticket-keys 28800000 5')
  t.notOk(value.includes(Buffer.alloc(8, 9)), 'the key is not in clear')

  const [read] = decodeTicketRecord(value) ?? []
  t.match(read, { withdrawn: false, madeAt: 77 })
  t.ok(read !== undefined && seal.open(place, read)?.equals(Buffer.alloc(32, 9)))
  t.equal(read && seal.open({ period, epoch: 6 }, read), undefined, 'of another epoch')
  t.equal(read && seal.open({ period: 1_000, epoch: 5 }, read), undefined)
  const other = new TicketSeal(Buffer.alloc(32, 1), 'other', size =>
    Buffer.alloc(size, 2),
  )
  t.equal(read && other.open(place, read), undefined, 'of another farm')
  for (let at = 2; at < value.length; at += 1) {
    const broken = Buffer.from(value)
    broken[at] = (broken[at] ?? 0) ^ 1
    const [bad] = decodeTicketRecord(broken) ?? []
    if (bad !== undefined && seal.open(place, bad) !== undefined) {
      t.fail(`byte ${at} is not authenticated`)
    }
  }
  for (const bad of ['', '00', '01', '0101', '0100ff', '02', `01ff${'00'.repeat(83)}`]) {
    t.equal(decodeTicketRecord(Buffer.from(bad, 'hex')), undefined, `refused: ${bad}`)
  }
})

t.test('a schedule that would leave tickets without a key is refused', async t => {
  for (const times of [
    { period: 10 },
    { period: Number.NaN },
    { period: hour, acceptFor: hour },
    { period: hour, acceptFor: 100 * hour },
  ]) {
    t.throws(() => new TicketSchedule(times), { code: 'ERR_HANDFAST_CONFIG' })
  }
  t.throws(() => new EpochKey(Buffer.alloc(32)), { code: 'ERR_HANDFAST_USAGE' })
})

t.test('a keyring asks less and less often, and makes a key once', async t => {
  const keyring = new TicketKeyring(new TicketSchedule({ period }), () => 0.5)
  const epoch = epochStart / period
  const asked: number[] = []
  const made: string[] = []
  for (let passed = 0; passed < 60; passed += 1) {
    const at = { wall: epochStart + passed * second, monotonic: passed * second }
    for (const action of keyring.tick(at)) {
      if (action.kind === 'ask' && action.epoch === epoch - 1) asked.push(passed)
      if (action.kind !== 'make') continue
      made.push(`${action.epoch - epoch} at ${passed}`)
      const seal = new TicketSeal(Buffer.alloc(32, 1), 'x', size => Buffer.alloc(size, 2))
      const place = { period, epoch: action.epoch }
      const entry = seal.seal(place, Buffer.alloc(32, 3), at.wall)
      keyring.add(action.epoch, entry, new EpochKey(Buffer.alloc(32, 3)), at)
    }
  }
  t.same(asked, [0, 1, 3, 7, 15, 31])
  t.same(made, ['0 at 1', '1 at 1'], 'the one in use and the next')
})

t.test('in whatever order entries come, the set is the same', async t => {
  const random = seededRandom(5)
  const bytes = (size: number) =>
    Buffer.from(Array.from({ length: size }, () => random() * 256))
  const seal = new TicketSeal(Buffer.alloc(32, 1), 'farm', bytes)
  const place = { period, epoch: 5 }
  const made = Array.from({ length: mostEntries + 20 }, () => {
    return seal.seal(place, bytes(32), 1)
  })
  const withdrawn = made.slice(0, 30).map(entry => seal.withdrawal(place, entry))
  const results = Array.from({ length: 5 }, () => {
    const keys = new EpochKeys(5, 0)
    const shuffled = [...made, ...withdrawn]
      .map(entry => ({ entry, at: random() }))
      .sort((a, b) => a.at - b.at)
    for (const { entry } of shuffled) {
      if (!keys.wants(entry)) continue
      const key = entry.withdrawn ? undefined : new EpochKey(bytes(32))
      keys.add({ entry, key, since: 0, until: hour })
    }
    return `${keys.weight} ${encodeTicketRecord(keys.entries).toString('hex')}`
  })
  t.equal(new Set(results).size, 1)
  t.equal(
    decodeTicketRecord(Buffer.from(results[0]?.split(' ')[1] ?? '', 'hex'))?.length,
    mostEntries,
  )
})
