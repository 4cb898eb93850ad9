import t from 'tap'
import {
  nextSecret,
  trafficKeys,
} from '../../../lib/takeover/record-layer/key-schedule.ts'
import { RecordOpener } from '../../../lib/takeover/record-layer/record-opener.ts'
import { RecordSealer } from '../../../lib/takeover/record-layer/record-sealer.ts'

// RFC 8448, 3: "Simple 1-RTT Handshake", with TLS_AES_128_GCM_SHA256.
const suite = 'TLS_AES_128_GCM_SHA256'
const clientSecret = bytes(
  '9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5',
)
const serverSecret = bytes(
  'a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643',
)
const content = Buffer.from(Array.from({ length: 50 }, (_, i) => i))
const fromClient = bytes(`1703030043
  a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5
  b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb2169
  4915e4`)
const fromServer = bytes(`1703030043
  2e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d
  90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167
  c2955d`)
const farewell = bytes('1703030013c9872760655666b74d7ff1153efd6db6d0b0e3')

t.test('keys are those of the example of RFC 8448', async t => {
  const client = trafficKeys(suite, clientSecret)
  t.equal(client.key.toString('hex'), '17422dda596ed5d9acd890e3c63f5051')
  t.equal(client.iv.toString('hex'), '5b78923dee08579033e523d9')
  const server = trafficKeys(suite, serverSecret)
  t.equal(server.key.toString('hex'), '9f02283b6c9c07efc26bb9f2ac92e356')
  t.equal(server.iv.toString('hex'), 'cf782b88dd83549aadf1e984')
})

t.test('and so are records, to the byte', async t => {
  const opener = new RecordOpener(suite, Buffer.from(clientSecret), 0)
  t.same(opener.open(fromClient), { type: 23, content })
  t.same(opener.open(farewell), { type: 21, content: Buffer.from([1, 0]) })
  // Its ticket was record 0.
  const sealer = new RecordSealer(suite, Buffer.from(serverSecret), 1)
  t.same(sealer.seal(23, content), fromServer)
})

t.test('a KeyUpdate makes the next secret, as long as the hash', async t => {
  const next = nextSecret(suite, clientSecret)
  t.equal(next.length, 32)
  t.notSame(next, clientSecret)
  t.equal(nextSecret('TLS_AES_256_GCM_SHA384', Buffer.alloc(48, 1)).length, 48)
})

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
}
