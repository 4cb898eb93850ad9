import t from 'tap'
import { nearestName, unknownName } from '../../lib/options/unknown-name.ts'

const known = [
  'names',
  'cert',
  'key',
  'backends',
  'secretFile',
  'clientCa',
  'sessionTimeout',
]

t.test('the name that was meant is found', async t => {
  for (const [written, meant] of [
    ['backend', 'backends'],
    ['Backends', 'backends'],
    ['bakcends', 'backends'],
    ['secret_file', 'secretFile'],
    ['secret-file', 'secretFile'],
    ['certificate', 'cert'],
    ['client_ca', 'clientCa'],
    ['sesionTimeout', 'sessionTimeout'],
    ['session', 'sessionTimeout'],
    ['nmaes', 'names'],
  ] as const) {
    t.equal(nearestName(written, known), meant, written)
    t.equal(unknownName(written, known), `did you mean ${meant}?`)
  }
})

t.test('nothing is made up for a name that is like none', async t => {
  for (const written of ['x', '', 'upstream', 'proto', '__proto__', 'a'.repeat(10_000)]) {
    t.equal(nearestName(written, known), undefined, written.slice(0, 20))
    t.equal(unknownName(written, known), `expected one of ${known.join(', ')}`)
  }
})
