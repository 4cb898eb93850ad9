import t from 'tap'
import { Backend } from '../../../lib/backend/backend.ts'
import { systemClock } from '../../../lib/clock.ts'
import type { DispatchCall, DispatchHandler } from '../../../lib/dispatch/dispatch.ts'
import { Dispatcher } from '../../../lib/dispatch/dispatcher.ts'
import type { ResumeOptions } from '../../../lib/dispatch/resumed-response/options.ts'
import type { ResumeEvent } from '../../../lib/dispatch/resumed-response/resumed-response.ts'
import {
  type ObjectResponse,
  startRangeBackend,
} from '../../fixtures/backend/range-backend.ts'
import { inTurn } from '../../fixtures/dispatch/in-turn.ts'
import type { Teardown } from '../../fixtures/proxy/servers.ts'
import { seededRandom, testSeed } from '../../fixtures/random.ts'

const seed = testSeed()
const random = seededRandom(seed)
const object = Buffer.from(Array.from({ length: 300 }, () => Math.floor(random() * 256)))
const older = { modified: 'Sat, 01 Aug 2026 10:00:00 GMT', etag: '' }
const date = 'Sat, 01 Aug 2026 10:01:00 GMT'

t.comment(`seed ${seed}`)

/** A client of a dispatcher: what it got. */
class Download implements DispatchHandler {
  status = 0
  fields: string[] = []
  body: Buffer = Buffer.alloc(0)
  end: 'whole' | 'broken' | undefined
  ended: () => void = () => {}
  readonly over: Promise<void> = new Promise(resolve => {
    this.ended = resolve
  })
  call: DispatchCall | undefined
  act: () => void = () => {}

  onSend(): void {}
  onLimit(): void {}
  onInform(): void {}
  onUpgrade(): void {}
  onResponse(status: number, _text: string, fields: string[]): void {
    if (this.status !== 0) throw new Error('a second response')
    this.status = status
    this.fields = fields
  }
  onData(chunk: Buffer): void {
    if (this.end !== undefined) throw new Error('more after the end')
    this.body = Buffer.concat([this.body, chunk])
    this.act()
  }
  onEnd(): void {
    if (this.end !== undefined) throw new Error('a second end')
    this.end = 'whole'
    this.ended()
  }
  onError(): void {
    if (this.end !== undefined) throw new Error('a second end')
    this.end = 'broken'
    this.ended()
  }
}

interface World {
  readonly outcomes: string[]
  download(fields?: string[], act?: (download: Download) => void): Promise<Download>
}

function worldOf(
  t: Teardown,
  urls: readonly string[],
  options: Partial<ResumeOptions> = {},
): World {
  const backends = urls.map(
    url =>
      new Backend(url, {
        connectTimeout: 5_000,
        headersTimeout: 500,
        bodyTimeout: 500,
        maxHeaderBytes: 16_384,
        maxRequests: 10,
      }),
  )
  t.teardown(() => Promise.all(backends.map(backend => backend.destroy())))
  const outcomes: string[] = []
  const dispatcher = new Dispatcher(inTurn(backends), {
    resuming: {
      options: { most: 8, timeout: 20_000, ...options },
      clock: systemClock,
      onOutcome: ({ outcome }: ResumeEvent) => outcomes.push(outcome),
    },
  })
  const download: World['download'] = async (fields = [], act = () => {}) => {
    const client = new Download()
    client.act = () => act(client)
    client.call = dispatcher.dispatch(
      {
        method: 'GET',
        path: '/',
        fields: ['Host', 'a', ...fields],
        body: undefined,
        upgrade: undefined,
        use: 'request',
        network: undefined,
      },
      client,
    )
    await client.over
    return client
  }
  return { outcomes, download }
}

/** Each position near the ends, to `last`, and some between. */
function cutsOf(last: number): number[] {
  const between = Array.from({ length: 40 }, () => Math.floor(random() * last))
  const ends = Array.from({ length: 20 }, (_, i) => [i, last - i])
  return [...new Set([...between, ...ends.flat()])]
}

/** The first response as told, and the one that is to go on. */
async function pair(
  t: Teardown,
  first: ObjectResponse,
  second: ObjectResponse = {},
  options: Partial<ResumeOptions> = {},
): Promise<World & { heads: string[] }> {
  const dying = await startRangeBackend(t, object, () => first)
  const other = await startRangeBackend(t, object, () => second)
  const world = worldOf(t, [dying.url, other.url], options)
  return { ...world, heads: other.heads }
}

t.test('wherever it is cut, and however, the client gets every byte', async t => {
  const last = { chunked: true, more: 'Connection: close' }
  const forms: ObjectResponse[] = [{}, { chunked: true }, last, { ...older, date }]
  for (const form of forms) {
    let cut = 0
    const dying = await startRangeBackend(t, object, () => ({
      ...form,
      cut,
      by: random() < 0.5 ? 'end' : 'reset',
    }))
    const other = await startRangeBackend(t, object, () => form)
    let failed = ''
    let asked = 0
    for (cut of cutsOf(object.length - (form.chunked ? 0 : 1))) {
      asked++
      const world = worldOf(t, [dying.url, other.url])
      const { body, end, status, fields } = await world.download(['Cookie', 'a=b'])
      const cookies = fields.filter(name => name === 'Set-Cookie').length
      const right = end === 'whole' && status === 200 && cookies === 1
      if (!right || !body.equals(object) || world.outcomes.join() !== 'resumed') {
        failed += `${JSON.stringify(form)} at ${cut}: ${end} ${body.length} ${world.outcomes}; `
      }
    }
    t.equal(failed, '')
    t.match(other.heads.at(-1), /\r\nCookie: a=b\r\n/)
    t.equal(other.heads.length, asked)
  }
})

t.test('a part that the client asked for goes on as that part', async t => {
  let cut = 0
  const dying = await startRangeBackend(t, object, () => ({ cut }))
  const other = await startRangeBackend(t, object)
  for (const [range, first, last] of [
    ['bytes=7-', 7, 299],
    ['bytes=0-99', 0, 99],
    ['bytes=100-199', 100, 199],
    ['bytes=299-299', 299, 299],
  ] as const) {
    for (cut = 0; cut <= last - first; cut += 9) {
      const world = worldOf(t, [dying.url, other.url])
      const client = await world.download(['Range', range, 'If-None-Match', '"v0"'])
      t.equal(client.status, 206)
      t.equal(client.end, 'whole')
      t.ok(client.body.equals(object.subarray(first, last + 1)), `${range} at ${cut}`)
      const [head = ''] = other.heads.slice(-1)
      t.match(head, `\r\nRange: bytes=${first + cut}-${last}\r\nIf-Range: "v1"`)
      t.notMatch(head, /If-None-Match/)
    }
  }
})

const doubts: [
  name: string,
  outcome: string,
  first: ObjectResponse,
  second?: ObjectResponse,
][] = [
  ['another entity tag', 'changed', {}, { etag: '"v2"' }],
  ['the same tag, now weak', 'changed', {}, { etag: 'W/"v1"' }],
  ['no tag any more', 'changed', {}, { etag: '' }],
  ['the tag twice', 'changed', {}, { more: 'ETag: "v1"' }],
  ['a weak tag from the start', 'unsuited', { etag: 'W/"v1"' }],
  [
    'a weak tag beside a strong date',
    'unsuited',
    { etag: 'W/"v1"', date, modified: older.modified },
  ],
  ['nothing to hold it to', 'unsuited', { etag: '' }],
  ['a tag that is none', 'unsuited', { etag: 'v1' }],
  [
    'a date as new as the response',
    'unsuited',
    { ...older, date: 'Sat, 01 Aug 2026 10:00:59 GMT' },
  ],
  ['a date without a date of the response', 'unsuited', older],
  [
    'another date',
    'changed',
    { ...older, date },
    { ...older, date, modified: 'Sat, 01 Aug 2026 09:00:00 GMT' },
  ],
  [
    'a date, and now a tag',
    'changed',
    { ...older, date },
    { ...older, etag: '"x"', date },
  ],
  ['trailers to come', 'unsuited', { chunked: true, more: 'Trailer: Digest' }],
  ['another length', 'changed', {}, { body: object.subarray(0, 299) }],
  [
    'another length in Content-Range',
    'changed',
    {},
    { contentRange: 'bytes 100-299/301' },
  ],
  ['an earlier start', 'no-range', {}, { contentRange: 'bytes 99-298/300' }],
  ['a later start', 'no-range', {}, { contentRange: 'bytes 101-300/301' }],
  ['an earlier end', 'no-range', {}, { contentRange: 'bytes 100-298/300' }],
  ['a range without sense', 'no-range', {}, { contentRange: 'bytes 100-99/300' }],
  ['a range of another unit', 'no-range', {}, { contentRange: 'lines 100-299/300' }],
  [
    'a total that is not known',
    'no-range',
    { chunked: true },
    { contentRange: 'bytes 99-299/*' },
  ],
  ['two ranges', 'no-range', {}, { more: 'Content-Range: bytes 100-299/300' }],
  ['gzip that was not there', 'other-form', {}, { more: 'Content-Encoding: gzip' }],
  ['gzip that is gone', 'other-form', { more: 'Content-Encoding: gzip' }, {}],
  ['another type', 'other-form', {}, { more: 'Content-Type: text/html' }],
  ['416', 'changed', {}, { status: '416 Range Not Satisfiable' }],
  ['404', 'changed', {}, { status: '404 Not Found' }],
  ['412', 'changed', {}, { status: '412 Precondition Failed' }],
  ['304', 'changed', {}, { status: '304 Not Modified' }],
  ['a whole that is another', 'changed', {}, { noRanges: true, etag: '"v2"' }],
  [
    'a whole that is shorter',
    'changed',
    {},
    { noRanges: true, body: object.subarray(9) },
  ],
]

for (const [name, outcome, first, second] of doubts) {
  t.test(`${name}: it breaks off where it was`, async t => {
    const world = await pair(t, { ...first, cut: 100 }, second ?? first)
    const { body, end } = await world.download()
    t.strictSame(world.outcomes, [outcome])
    t.equal(end, 'broken')
    t.ok(body.equals(object.subarray(0, 100)), 'and not a byte of another object came')
  })
}

t.test('a part of which the whole comes again breaks off', async t => {
  const world = await pair(t, { cut: 10 }, { noRanges: true })
  const { end, body } = await world.download(['Range', 'bytes=0-99'])
  t.equal(end, 'broken')
  t.equal(body.length, 10)
  t.strictSame(world.outcomes, ['no-range'])
})

t.test(
  'the whole again, of the same strong validator, is passed over to the place',
  async t => {
    for (const chunked of [false, true]) {
      for (const cut of [0, 1, 150, 299]) {
        const world = await pair(t, { cut, chunked }, { noRanges: true, chunked })
        const { end, body } = await world.download()
        t.equal(end, 'whole')
        t.ok(body.equals(object))
      }
    }
  },
)

t.test('several deaths in one response, up to a bound', async t => {
  const backend = await startRangeBackend(t, object, () => ({ cut: 60 }))
  const often = worldOf(t, [backend.url])
  const { end, body } = await often.download()
  t.equal(end, 'whole', 'the same backend again, if there is no other')
  t.ok(body.equals(object))
  t.strictSame(often.outcomes, Array(4).fill('resumed'))
  t.equal(backend.heads.length, 5)

  const twice = worldOf(t, [backend.url], { most: 2 })
  const cut = await twice.download()
  t.equal(cut.end, 'broken')
  t.ok(cut.body.equals(object.subarray(0, 180)))
  t.strictSame(twice.outcomes, ['resumed', 'resumed', 'too-often'])
})

t.test('one that is away for a while is waited for', async t => {
  const dying = await startRangeBackend(t, object, request => {
    if (request === 0) return { cut: 100 }
    return request < 4 ? { status: '503 Service Unavailable' } : {}
  })
  const world = worldOf(t, [dying.url])
  const { end, body } = await world.download()
  t.equal(end, 'whole')
  t.ok(body.equals(object))
  t.strictSame(world.outcomes, ['resumed'])
})

t.test('and not for longer than that', async t => {
  for (const status of ['503 Service Unavailable', '502 Bad Gateway']) {
    const world = await pair(t, { cut: 100 }, { status }, { timeout: 300 })
    const { end, body } = await world.download()
    t.equal(end, 'broken')
    t.equal(body.length, 100)
    t.strictSame(world.outcomes, ['timeout'])
  }
})

t.test('silence is a death, of the second one as of the first', async t => {
  let seen = 0
  const plan = (): ObjectResponse => (seen++ < 2 ? { cut: 100, by: 'silence' } : {})
  const one = await startRangeBackend(t, object, plan)
  const two = await startRangeBackend(t, object, plan)
  const world = worldOf(t, [one.url, two.url])
  const { end, body } = await world.download()
  t.equal(end, 'whole')
  t.ok(body.equals(object))
  t.strictSame(world.outcomes, ['resumed', 'resumed'])
})

t.test('a client that pauses, at whatever moment, gets every byte', async t => {
  for (const second of [{}, { noRanges: true }]) {
    const world = await pair(t, { cut: 100 }, second)
    const got: number[] = []
    const { end, body } = await world.download([], client => {
      got.push(client.body.length)
      client.call?.pause()
      // Longer than a backend may be silent.
      setTimeout(() => client.call?.resume(), 700)
    })
    t.equal(end, 'whole')
    t.ok(body.equals(object))
    t.ok(got.length >= 2)
    t.strictSame(world.outcomes, ['resumed'])
  }
})

t.test('a client that leaves ends it all', async t => {
  const world = await pair(t, { cut: 100 }, { status: '503 Service Unavailable' })
  let left = false
  const { end } = await world.download([], client => {
    setTimeout(() => {
      left = true
      client.call?.abort(new Error('gone'))
    }, 200)
  })
  t.ok(left)
  t.equal(end, 'broken')
  t.strictSame(world.outcomes, ['gone'])
})

t.test('what is no 200 or 206, and no GET, is left alone', async t => {
  const world = await pair(t, { cut: 100, status: '404 Not Found' })
  t.equal((await world.download()).end, 'broken')
  t.strictSame(world.outcomes, ['unsuited'])
})
