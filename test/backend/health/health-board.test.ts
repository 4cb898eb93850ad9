import t from 'tap'
import {
  FarmHealthBoard,
  type HealthReport,
} from '../../../lib/backend/health/health-board.ts'
import { tables } from '../../../lib/record/key.ts'

interface Told {
  readonly key: Buffer
  readonly value: Buffer
  readonly tombstone: boolean
}

/** What is left of a farm's cache when all of its members are told of all at once. */
class Farm {
  readonly #watchers: ((told: Told) => void)[] = []
  readonly told: Told[] = []
  ttl = 0
  closed = false

  board(host: string): FarmHealthBoard {
    const cache = {
      watch: (table: number, watcher: (told: Told) => void) => {
        if (table === tables.health) this.#watchers.push(watcher)
      },
      add: (_table: number, key: Buffer, value: Buffer, { ttl }: { ttl: number }) => {
        if (this.closed) throw new Error('closed')
        this.ttl = ttl
        this.tell({ key, value, tombstone: false })
        return Promise.resolve()
      },
    }
    return new FarmHealthBoard(cache as never, () => host)
  }

  tell(told: Told): void {
    this.told.push(told)
    for (const watcher of this.#watchers) watcher(told)
  }
}

t.test('what one process has found all others hear, of that check alone', t => {
  const farm = new Farm()
  const [a, b, other] = [farm.board('h'), farm.board('h'), farm.board('i')]
  const heard: Record<string, HealthReport[]> = { a: [], b: [], other: [] }
  a.watch('one', report => heard['a']?.push(report))
  b.watch('one', report => heard['b']?.push(report))
  other.watch('two', report => heard['other']?.push(report))
  a.publish('one', false, 7_000)
  t.strictSame(heard, { a: [], b: [{ up: false, ...a.self }], other: [] })
  t.equal(farm.ttl, 7_000)
  other.publish('one', true, 7_000)
  t.strictSame(heard['a'], [{ up: true, ...other.self }])
  t.equal(heard['b']?.length, 2)
  const keys = farm.told.map(({ key }) => key.toString('hex'))
  t.equal(new Set(keys).size, 2, 'each host has a record of its own')
  t.not(a.self.process, b.self.process)
  t.end()
})

t.test('who listens no more hears nothing, and the others go on hearing', t => {
  const farm = new Farm()
  const [a, b] = [farm.board('h'), farm.board('i')]
  let first = 0
  let second = 0
  const stop = b.watch('one', () => first++)
  b.watch('one', () => second++)
  a.publish('one', true, 1)
  stop()
  a.publish('one', false, 1)
  t.strictSame([first, second], [1, 2])
  t.end()
})

t.test('forbidden: reports that are none, and a closed farm that ends a check', t => {
  const farm = new Farm()
  const [a, b] = [farm.board('h'), farm.board('i')]
  const heard: HealthReport[] = []
  b.watch('one', report => heard.push(report))
  a.publish('one', true, 1)
  const { key } = farm.told[0] as Told
  const good = { up: false, host: 'h', process: 'p' }
  for (const value of [
    '',
    'null',
    '7',
    '{"up":1,"host":"h","process":"p"}',
    '{"up":true,"process":"p"}',
    '{"up":true,"host":"h"}',
  ]) {
    farm.tell({ key, value: Buffer.from(value), tombstone: false })
  }
  farm.tell({ key, value: Buffer.from(JSON.stringify(good)), tombstone: true })
  t.equal(heard.length, 1)
  const more = { ...good, more: 'of a version to come' }
  farm.tell({ key, value: Buffer.from(JSON.stringify(more)), tombstone: false })
  t.strictSame(heard[1], good)
  farm.closed = true
  t.doesNotThrow(() => a.publish('one', true, 1))
  t.end()
})
