import t from 'tap'
import { BoundedMap } from '../lib/bounded-map.ts'
import { seededRandom, testSeed } from './fixtures/random.ts'

t.test('what was set longest ago is forgotten first', async t => {
  const forgotten: string[] = []
  const map = new BoundedMap<string, string>(2, value => forgotten.push(value))
  map.set('a', 'first').set('b', 'second')
  map.set('a', 'first again').set('c', 'third')
  t.strictSame(
    [...map],
    [
      ['a', 'first again'],
      ['c', 'third'],
    ],
  )
  t.strictSame(forgotten, ['second'])
})

t.test('what is deleted makes room, and nobody is told', async t => {
  const map = new BoundedMap<string, number>(2, () => t.fail('nothing was forgotten'))
  map.set('a', 1).set('b', 2)
  t.equal(map.delete('a'), true)
  map.set('c', 3)
  t.strictSame([...map.keys()], ['b', 'c'])
  map.clear()
  map.set('d', 4).set('e', 5)
  t.strictSame([...map.keys()], ['d', 'e'])
})

t.test('one entry is enough', async t => {
  const map = new BoundedMap<number, number>(1)
  for (let key = 0; key < 100; key++) map.set(key, key)
  t.strictSame([...map], [[99, 99]])
})

t.test('it agrees with a list, whatever is set, deleted and cleared', async t => {
  const seed = testSeed()
  t.comment(`SEED=${seed}`)
  const random = seededRandom(seed)
  for (let round = 0; round < 100; round++) {
    const most = 1 + Math.floor(random() * 20)
    const map = new BoundedMap<number, number>(most)
    let list: [number, number][] = []
    for (let step = 0; step < 500; step++) {
      const key = Math.floor(random() * 40)
      const chance = random()
      if (chance < 0.02) {
        map.clear()
        list = []
        continue
      }
      list = list.filter(([other]) => other !== key)
      if (chance < 0.2) map.delete(key)
      else {
        map.set(key, step)
        list = [...list, [key, step] as [number, number]].slice(-most)
      }
    }
    t.strictSame([...map], list)
  }
})
