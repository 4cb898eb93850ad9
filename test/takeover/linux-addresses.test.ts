import t from 'tap'
import { LinuxAddresses } from '../../lib/takeover/native/linux-addresses.ts'
import { FakeLibc } from '../fixtures/takeover/fake-libc.ts'

function answer(errno: number): Buffer {
  const bytes = Buffer.alloc(36)
  bytes.writeUInt32LE(36, 0)
  bytes.writeUInt16LE(2, 4)
  bytes.writeInt32LE(-errno, 16)
  return bytes
}

t.test('an address comes to an interface and goes, with its own /32', async t => {
  const libc = new FakeLibc()
  const addresses = new LinuxAddresses(libc)
  libc.inbox.push(answer(0), answer(0))
  addresses.add('eth0', '10.0.0.100')
  addresses.remove('eth0', '10.0.0.100')
  const [add, remove] = libc
    .of('sendTo')
    .map(([, bytes]) => (bytes as Buffer).toString('hex'))
  const rest = '01000000' + '00000000' + '02200000' + '07000000'
  const attributes = '08000200' + '0a000064' + '08000100' + '0a000064'
  t.equal(add, `28000000${'1400'}${'0505'}${rest}${attributes}`)
  t.equal(remove, `28000000${'1500'}${'0500'}${rest}${attributes}`)
  t.equal(libc.open.size, 0)
})

t.test('what the kernel refuses is an error with a code', async t => {
  const libc = new FakeLibc()
  const addresses = new LinuxAddresses(libc)
  libc.inbox.push(answer(1))
  t.throws(() => addresses.add('eth0', '10.0.0.100'), { code: 'EPERM', errno: 1 })
  t.throws(() => addresses.add('eth0', '10.0.0.100'), /no answer/)
  libc.inbox.push(Buffer.alloc(4))
  t.throws(() => addresses.add('eth0', '10.0.0.100'), /no answer/)
  libc.fails.set('interfaceIndex', 'ENODEV')
  t.throws(() => addresses.remove('nothing', '10.0.0.100'), { code: 'ENODEV' })
  t.equal(libc.open.size, 0)
})

t.test('an address that is not there needs not be taken away', async t => {
  const libc = new FakeLibc()
  libc.inbox.push(answer(99), answer(1))
  const addresses = new LinuxAddresses(libc)
  addresses.remove('eth0', '10.0.0.100')
  t.throws(() => addresses.remove('eth0', '10.0.0.100'), { code: 'EPERM' })
})
