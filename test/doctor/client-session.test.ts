import t from 'tap'
import { readClientSession } from '../../lib/doctor/client-session.ts'
import { seededRandom } from '../fixtures/random.ts'

t.test('bytes that are no session are none', async t => {
  const random = seededRandom(9)
  const der = Buffer.from('3011020101020203040402130204020a0b0400', 'hex')
  t.match(readClientSession(der), { id: Buffer.from('0a0b', 'hex') })
  const inEnvelope = Buffer.concat([
    Buffer.from('\0nodejs:tls:session:1\0\0\x04name', 'latin1'),
    der,
  ])
  t.same(readClientSession(inEnvelope)?.der, der)
  for (let i = 0; i < 5_000; i += 1) {
    const bytes = Buffer.from(random() < 0.5 ? der : inEnvelope)
    for (let flips = 0; flips < 3; flips += 1) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    readClientSession(bytes.subarray(0, Math.floor(random() * (bytes.length + 1))))
  }
  t.equal(readClientSession(Buffer.alloc(0)), undefined)
})
