import { PassThrough } from 'node:stream'
import t from 'tap'
import { Backend } from '../../lib/backend/backend.ts'
import type { Slot } from '../../lib/backend/slots.ts'
import type {
  DispatchCall,
  DispatchHandler,
  DispatchRequest,
} from '../../lib/dispatch/dispatch.ts'
import { Dispatcher } from '../../lib/dispatch/dispatcher.ts'
import { inTurn } from '../fixtures/dispatch/in-turn.ts'
import { startBackend, type Teardown } from '../fixtures/proxy/servers.ts'

const limits = {
  connectTimeout: 1_000,
  headersTimeout: 1_000,
  bodyTimeout: 1_000,
  maxHeaderBytes: 16_384,
  maxRequests: 1,
}
const request: DispatchRequest = {
  method: 'GET',
  path: '/',
  fields: ['Host', 'a'],
  body: undefined,
  upgrade: undefined,
  use: 'request',
  network: undefined,
}
/** Nobody listens there. */
const dead = 'http://127.0.0.1:1'

function backendsAt(t: Teardown, ...addresses: string[]): Backend[] {
  const backends = addresses.map(address => new Backend(address, limits))
  t.teardown(() => Promise.all(backends.map(backend => backend.destroy())))
  return backends
}

/** What happens to a request, as words in order. */
class Events implements DispatchHandler {
  readonly #events: string[] = []
  readonly #act: (event: string) => void
  #resolve: (events: string[]) => void = () => {}
  readonly over: Promise<string[]> = new Promise(resolve => {
    this.#resolve = resolve
  })

  constructor(act: (event: string) => void = () => {}) {
    this.#act = act
  }

  onSend = () => this.note('send')
  onLimit = (limit: string) => this.note(limit)
  onInform = (status: number) => this.note(`inform ${status}`)
  onResponse = (status: number) => this.note(`response ${status}`)
  onData = (chunk: Buffer) => this.note(`data ${chunk}`)
  onEnd = () => this.#end('end')
  onUpgrade = () => this.#end('upgrade')
  onError = (error: Error) =>
    this.#end(`error ${(error as { code?: string }).code ?? error.message}`)

  note(event: string): void {
    this.#events.push(event)
    this.#act(event)
  }

  #end(event: string): void {
    this.note(event)
    this.#resolve(this.#events)
  }
}

function dispatch(
  backends: readonly Backend[],
  events: Events,
  how: Partial<DispatchRequest> = {},
): DispatchCall {
  const dispatcher = new Dispatcher(inTurn(backends))
  return dispatcher.dispatch({ ...request, ...how }, events)
}

t.test('a call stays the same from one backend to the next', async t => {
  const good = await startBackend(t, (_request, response) => void response.write('some'))
  const backends = backendsAt(t, dead, good.url)
  const events = new Events(event => {
    if (event === 'data some') call.abort(new Error('enough'))
  })
  const call = dispatch(backends, events)
  t.equal(call.backend, 'http://127.0.0.1:1')
  t.strictSame(await events.over, ['send', 'response 200', 'data some', 'error enough'])
  t.equal(call.backend, good.url)
  t.notOk(backends[0]?.ready, 'the one that failed is passed over for a while')
})

t.test('a slot is given back whatever becomes of the request', async t => {
  const { url } = await startBackend(t, (_request, response) => response.end())
  const backends = backendsAt(t, url)
  for (let i = 0; i < 3; i++) {
    const events = new Events()
    dispatch(backends, events)
    t.strictSame(await events.over, ['send', 'response 200', 'end'])
  }
  const [gone] = backendsAt(t, dead) as [Backend]
  for (let i = 0; i < 3; i++) {
    const events = new Events()
    dispatch([gone], events)
    t.strictSame(await events.over, ['error ECONNREFUSED'])
  }
})

t.test('what is given up before there is a connection is never sent', async t => {
  const { url, requests } = await startBackend(t, (_request, response) => response.end())
  const backends = backendsAt(t, url)
  const events = new Events()
  dispatch(backends, events).abort(new Error('gone'))
  t.strictSame(await events.over, ['error gone'])
  t.equal(requests.length, 0)
  t.ok(backends[0]?.ready, 'which is no fault of the backend')
})

t.test('nothing is said before the caller has the call', async t => {
  const none = new Events()
  dispatch([], none)
  none.note('returned')
  t.strictSame(await none.over, ['returned', 'error no-backend'])

  const backends = backendsAt(t, dead)
  const invalid = new Events()
  dispatch(backends, invalid, { path: 'no path' })
  invalid.note('returned')
  t.strictSame(await invalid.over, ['returned', 'error UND_ERR_INVALID_ARG'])
  t.ok(backends[0]?.ready)

  await backends[0]?.destroy()
  const closed = new Events()
  dispatch(backends, closed)
  closed.note('returned')
  t.strictSame(await closed.over, ['returned', 'error UND_ERR_CLOSED'])
})

t.test('one that has no room is passed over, and told of', async t => {
  const { url } = await startBackend(t, (_request, response) => response.end())
  const [full, free] = backendsAt(t, dead, url) as [Backend, Backend]
  full.slots.take('request', undefined)
  const events = new Events()
  const call = dispatch([full, free], events)
  t.strictSame(await events.over, ['maxBackendRequests', 'send', 'response 200', 'end'])
  t.equal(call.backend, url)

  const nowhere = new Events()
  t.equal(dispatch([full], nowhere).backend, undefined)
  t.strictSame(await nowhere.over, ['maxBackendRequests', 'error busy'])
})

t.test('a body that was held back needs room when it begins', async t => {
  const { url, requests } = await startBackend(t, (_request, response) => response.end())
  const [backend] = backendsAt(t, url) as [Backend]
  const body = new PassThrough()
  const events = new Events(event => {
    if (event === 'send') call.bodyArrived()
  })
  const slot = backend.slots.take('request', undefined) as Slot
  const held = { body, use: 'held', method: 'POST' } as const
  const call = dispatch([backend], events, held)
  t.strictSame(await events.over, ['send', 'maxBackendRequests', 'error busy'])
  t.equal(requests.length, 0)
  t.ok(backend.ready)
  slot.release()
  const later = new Events(event => {
    if (event === 'send') second.bodyArrived()
  })
  const second = dispatch([backend], later, { ...held, body: new PassThrough().end('x') })
  t.strictSame(await later.over, ['send', 'response 200', 'end'])
})
