import t from 'tap'
import { Backend } from '../../lib/backend/backend.ts'
import { parseOrigin } from '../../lib/backend/origin.ts'
import type { BackendCall, BackendHandler } from '../../lib/backend/request.ts'
import type { Clock } from '../../lib/clock.ts'
import { startBackend } from '../fixtures/proxy/servers.ts'

const limits = {
  connectTimeout: 1_000,
  headersTimeout: 1_000,
  bodyTimeout: 1_000,
  maxHeaderBytes: 16_384,
  maxRequests: 2,
}

/** Sends a GET; what happened, as words in order. */
function send(
  backend: Backend,
  act: (event: string, call?: BackendCall) => void = () => {},
) {
  const events: string[] = []
  return new Promise<string[]>(resolve => {
    let call: BackendCall | undefined
    const note = (event: string) => {
      events.push(event)
      act(event, call)
    }
    const end = (event: string) => {
      note(event)
      resolve(events)
    }
    const handler: BackendHandler = {
      onSend: () => note('send'),
      onInform: status => note(`inform ${status}`),
      onResponse: (status, text) => note(`response ${status} ${text}`),
      onData: chunk => note(`data ${chunk}`),
      onEnd: trailers => end(`end ${trailers}`),
      onUpgrade: () => end('upgrade'),
      onError: error => end(`error ${(error as { code?: string }).code ?? error.name}`),
    }
    call = backend.send(
      {
        method: 'GET',
        path: '/',
        fields: ['Host', 'a'],
        body: undefined,
        upgrade: undefined,
      },
      handler,
    )
  })
}

t.test('the events of a request, in order', async t => {
  const { url } = await startBackend(t, (_request, response) => {
    response.writeEarlyHints({ link: '</a>' })
    response.writeHead(201, 'Made', { Trailer: 'X-T' })
    response.write('body')
    response.addTrailers({ 'X-T': '1' })
    response.end()
  })
  const backend = new Backend(url, limits)
  t.teardown(() => backend.destroy())
  t.strictSame(await send(backend), [
    'send',
    'inform 103',
    'response 201 Made',
    'data body',
    'end X-T,1',
  ])
})

t.test('a refused connection is told before anything was sent', async t => {
  const backend = new Backend('http://127.0.0.1:1', limits)
  t.teardown(() => backend.destroy())
  t.strictSame(await send(backend), ['error ECONNREFUSED'])
})

t.test('an abort closes the connection', async t => {
  const server = await startBackend(
    t,
    (_request, response) => void response.write('some'),
  )
  const backend = new Backend(server.url, limits)
  t.teardown(() => backend.destroy())
  const events = await send(backend, (event, call) => {
    if (event === 'data some') call?.abort(new Error('enough'))
  })
  t.match(events, ['send', 'response 200 OK', 'data some', /^error/])
})

t.test('cool for a while after a failure', t => {
  let now = 0
  const clock = { monotonic: () => now } as Clock
  const backend = new Backend('http://127.0.0.1:1', { ...limits, clock })
  t.teardown(() => backend.destroy())
  t.ok(backend.ready)
  backend.failed(new Error('x'), 0, true)
  t.notOk(backend.ready)
  now += 1_999
  t.notOk(backend.ready)
  now += 1
  t.ok(backend.ready)
  backend.failed(new Error('x'), backend.epoch, true)
  backend.answered(503, backend.epoch)
  backend.ended(503, backend.epoch)
  t.notOk(backend.ready, 'a bad answer is none, however whole')
  backend.answered(200, backend.epoch)
  backend.ended(200, backend.epoch)
  t.ok(backend.ready, 'an answer is proof enough')
  t.end()
})

/** One that is nowhere, in a time that the test moves. */
function timed(t: { teardown(fn: () => unknown): void }) {
  const at = { now: 0 }
  const clock = { monotonic: () => at.now } as Clock
  const backend = new Backend('http://127.0.0.1:1', { ...limits, clock })
  t.teardown(() => backend.destroy())
  const send = () => {
    const slot = backend.slots.take('request', undefined)
    if (typeof slot === 'string') throw new Error(slot)
    const { request, handler } = anything()
    backend.send(request, handler)
    return slot
  }
  return { at, backend, send }
}

/** A request of whose answer nobody wants to know. */
function anything() {
  const handler: BackendHandler = {
    onSend() {},
    onInform() {},
    onResponse() {},
    onData() {},
    onEnd() {},
    onUpgrade() {},
    onError() {},
  }
  const request = {
    method: 'POST',
    path: '/',
    fields: ['Host', 'a'],
    body: undefined,
    upgrade: undefined,
  }
  return { request, handler }
}

t.test('one that checks call down and that was away can be reached after a while', t => {
  const { at, backend } = timed(t)
  // A page of checks that is broken says nothing of the backend.
  backend.found(false)
  t.ok(backend.reachable)
  backend.failed(new Error('refused'), backend.epoch, false)
  t.notOk(backend.reachable)
  at.now = 1_999
  t.notOk(backend.reachable)
  at.now = 2_000
  t.ok(backend.reachable, 'one request may look')
  t.notOk(backend.ready)
  t.end()
})

t.test('a dead connection speaks against a backend for a few seconds', t => {
  const { at, backend } = timed(t)
  backend.foundDead()
  t.ok(backend.doubtful)
  at.now = 3_999
  t.ok(backend.doubtful)
  at.now = 4_000
  t.notOk(backend.doubtful, 'it may be that nothing comes that can be sent again')
  backend.foundDead()
  backend.answered(200, backend.epoch)
  t.notOk(backend.doubtful, 'or until it says something')
  t.end()
})

t.test('a request that was given up long ago is no answer that is owed', t => {
  const { at, backend, send } = timed(t)
  send().release()
  at.now = 60_000
  t.notOk(backend.doubtful)
  send()
  t.notOk(backend.doubtful, 'this one has just been sent')
  at.now = 60_999
  send()
  t.notOk(backend.doubtful)
  at.now = 61_000
  t.ok(backend.doubtful, 'the first of them has waited for a second')
  t.end()
})

t.test('addresses that name no backend', t => {
  t.equal(parseOrigin('http://127.0.0.1:80').origin, 'http://127.0.0.1')
  t.equal(parseOrigin('https://[::1]:8443/').origin, 'https://[::1]:8443')
  for (const address of [
    '',
    'x',
    '127.0.0.1:80',
    'ftp://x',
    'http://x/y',
    'http://x?y',
  ]) {
    t.throws(() => parseOrigin(address), { code: 'ERR_HANDFAST_CONFIG' }, address)
  }
  t.throws(() => parseOrigin('http://ann:s3cret@x'), { message: /^(?!.*s3cret)/ })
  t.end()
})
