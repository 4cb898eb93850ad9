import t from 'tap'
import type { Clock } from '../../../lib/clock.ts'
import { EpochKey } from '../../../lib/resumption/ticket/epoch-key.ts'
import { SealedHandshake } from '../../../lib/resumption/ticket/sealed-handshake.ts'
import {
  type SealedTerms,
  SealedTickets,
} from '../../../lib/resumption/ticket/sealed-tickets.ts'
import type { TicketAnswer } from '../../../lib/resumption/ticket/ticket-hook.ts'
import { recordingLog } from '../../fixtures/resumption/ticket-farm.ts'

const hour = 3_600_000
const begin = Date.UTC(2026, 2, 1)
const scope = { text: 'p a.test', tag: 11 }
const other = { text: 'p b.test', tag: 12 }

interface Ticket {
  readonly name: Buffer
  readonly iv: Buffer
  readonly keys: string
}

/** A member with keys of its own choice. */
function member(keys: EpochKey[], terms: Partial<SealedTerms> = {}) {
  let now = begin
  const clock = { now: () => now } as Clock
  const log = recordingLog()
  const tickets = new SealedTickets({
    keys: { sealing: () => keys[0], opening: () => keys },
    clock,
    log,
    lineageTimeout: 24 * hour,
    isCut: () => false,
    isTicketRevoked: () => false,
    ...terms,
  })
  const seal = (chain = tickets.begin(now, undefined), where = scope): Ticket => {
    const handshake = new SealedHandshake('a.test', where, false, 'none-offered')
    handshake.chain = chain
    const answer = tickets.answer(handshake, Buffer.alloc(16), Buffer.alloc(16), true)
    return ticketIn(answer)
  }
  const open = ({ name, iv, keys }: Ticket, where = scope, asksCertificate = false) => {
    const handshake = new SealedHandshake('a.test', where, asksCertificate, 'unknown')
    const answer = tickets.answer(handshake, name, iv, false)
    const opened = answer[0] === 2 && keysIn(answer) === keys
    return { opened, result: answer[0], handshake }
  }
  const pass = (ms: number) => {
    now += ms
  }
  return { tickets, seal, open, pass, log }
}

function ticketIn(answer: TicketAnswer): Ticket {
  const [result, , , name, iv] = answer
  if (result !== 1 || name?.length !== 16 || iv?.length !== 16)
    throw new Error('no ticket')
  return { name, iv, keys: keysIn(answer) }
}

function keysIn([, hmac, aes]: TicketAnswer): string {
  if (hmac.length !== 32 || aes.length !== 16) throw new Error('no keys')
  return hmac.toString('hex') + aes.toString('hex')
}

const epochKeys = () => [3, 2, 1].map(n => new EpochKey(Buffer.alloc(32, n)))

t.test('what one member seals another opens, with lineage and time', async t => {
  const [a, b] = [member(epochKeys()), member(epochKeys())]
  const chain = a.tickets.begin(begin + 7, undefined)
  t.equal(chain.lineage.length, 9)
  const { opened, handshake } = b.open(a.seal(chain))
  t.equal(opened, true)
  t.match(handshake.found, chain)
  t.notSame(a.tickets.begin(begin, undefined).lineage, chain.lineage, 'each has its own')
})

t.test('any key of the ring opens, and the first one seals', async t => {
  const keys = epochKeys()
  const a = member(keys)
  for (const [n, key] of keys.entries()) {
    const ticket = member([key]).seal()
    t.equal(a.open(ticket).opened, true, `${n}`)
  }
  const [first] = keys
  t.equal(a.seal().keys, member([first as EpochKey]).seal().keys)
  const foreign = member([new EpochKey(Buffer.alloc(32, 9))]).seal()
  const { result, handshake } = a.open(foreign)
  t.equal(result, 0)
  t.equal(handshake.cause, 'unknown')
  t.equal(handshake.found, undefined)
})

t.test('a ticket of another name or policy is refused', async t => {
  const a = member(epochKeys())
  const { result, handshake } = a.open(a.seal(undefined, other))
  t.equal(result, 0)
  t.equal(handshake.cause, 'policy')
  // One in 256 has the same tag: then its keys are others, and TLS finds the HMAC wrong.
  const alike = { text: other.text, tag: scope.tag }
  t.match(a.open(a.seal(undefined, alike)), { opened: false, result: 2 })
})

t.test('each byte of name and IV counts', async t => {
  const a = member(epochKeys())
  const chain = a.tickets.begin(begin, undefined)
  for (let at = 0; at < 32; at += 1) {
    const { name, iv, keys } = a.seal(chain)
    const bytes = Buffer.concat([name, iv])
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
    const bad = { name: bytes.subarray(0, 16), iv: bytes.subarray(16), keys }
    const { handshake } = a.open(bad)
    // The lineage and the time may come out as others: that the HMAC is wrong is TLS's to see.
    const same =
      handshake.found?.lineage.equals(chain.lineage) === true &&
      handshake.found.originalAt === chain.originalAt
    t.equal(same, false, `${at}`)
  }
})

t.test('a chain ends by the time of its full handshake', async t => {
  const a = member(epochKeys())
  const ticket = a.seal()
  a.pass(24 * hour)
  t.equal(a.open(ticket).opened, true)
  a.pass(1)
  t.match(a.open(ticket), { result: 0, handshake: { cause: 'lineage-expired' } })
  const long = member(epochKeys(), { lineageTimeout: 365 * 24 * hour })
  const old = long.seal()
  long.pass(30 * 24 * hour)
  t.equal(long.open(old).opened, true)
  long.pass(1)
  t.match(long.open(old), { result: 0, handshake: { cause: 'lineage-expired' } })
})

t.test('what is revoked, or could be, is refused', async t => {
  let cut = false
  const asked: unknown[] = []
  const a = member(epochKeys(), {
    isCut: () => cut,
    isTicketRevoked: (...about) => asked.push(about) > 1,
  })
  const chain = a.tickets.begin(begin, Buffer.from('c1c2c3', 'hex'))
  t.equal(
    chain.lineage.toString('hex', 0, 2),
    'c1c2',
    'it begins as the certificate does',
  )
  const ticket = a.seal(chain)
  t.equal(a.open(ticket).opened, true)
  t.same(asked, [[{ ...chain, serverName: 'a.test' }, undefined]])
  t.match(a.open(ticket, scope, true), { result: 0, handshake: { cause: 'revoked' } })
  t.same(asked[1], [{ ...chain, serverName: 'a.test' }, Buffer.from('c1c2', 'hex')])
  cut = true
  t.match(a.open(ticket), { result: 0, handshake: { cause: 'partition' } })
})

t.test('the last ticket that TLS asks about counts', async t => {
  const a = member(epochKeys())
  const [first, second] = [a.seal(), a.seal()]
  const foreign = member([new EpochKey(Buffer.alloc(32, 9))]).seal()
  const handshake = new SealedHandshake('a.test', scope, false, 'unknown')
  const ask = ({ name, iv }: Ticket) => a.tickets.answer(handshake, name, iv, false)
  ask(first)
  const { found } = handshake
  ask(second)
  t.notSame(handshake.found, found)
  ask(foreign)
  t.equal(handshake.found, undefined)
})

t.test('a ticket that must not resume is noise, and legal', async t => {
  const a = member(epochKeys())
  const handshake = new SealedHandshake('a.test', scope, false, 'none-offered')
  const seals = [handshake, undefined].map(whose =>
    ticketIn(a.tickets.answer(whose, Buffer.alloc(16), Buffer.alloc(16), true)),
  )
  for (const ticket of seals) t.equal(a.open(ticket).opened, false)
  const { name, iv } = a.seal()
  const [result] = a.tickets.answer(undefined, name, iv, false)
  t.equal(result, 0, 'nobody opens for nobody')
  const without = member([])
  const noise = without.seal()
  t.equal(a.open(noise).opened, false, 'so is it where no key seals')
})

t.test('nothing is thrown at Node, whatever fails', async t => {
  const keys = epochKeys()
  const a = member(keys)
  const ticket = a.seal()
  for (const key of keys) key.destroy()
  t.equal(a.open(ticket).result, 0)
  t.equal(a.open(a.seal()).opened, false)
  t.match(a.log.lines.join('\n'), /ERR_HANDFAST_CLOSED.*no ticket key/)
})
