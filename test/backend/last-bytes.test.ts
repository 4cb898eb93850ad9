import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { Backend } from '../../lib/backend/backend.ts'
import type { BackendCall } from '../../lib/backend/request.ts'
import type { Teardown } from '../fixtures/proxy/servers.ts'
import { p256 } from '../fixtures/tls/certificates.ts'

const limits = {
  connectTimeout: 5_000,
  headersTimeout: 10_000,
  bodyTimeout: 10_000,
  maxHeaderBytes: 16_384,
  maxRequests: 10,
}
const certificate = await p256('localhost')

interface Outcome {
  status: number
  informed: number[]
  bytes: number
  trailers: string[]
  /** Undefined when the answer was whole. */
  error: string | undefined
}

interface Ask {
  readonly method?: string
  readonly upload?: boolean
  /** Pauses at each piece of the body and goes on once this says so. */
  readonly pace?: (() => Promise<unknown>) | undefined
}

function ask(
  backend: Backend,
  { method = 'GET', upload = false, pace }: Ask = {},
): Promise<Outcome> {
  return new Promise(resolve => {
    const outcome: Outcome = {
      status: 0,
      informed: [],
      bytes: 0,
      trailers: [],
      error: undefined,
    }
    const over = () => resolve(outcome)
    const body = upload ? new PassThrough() : undefined
    const call: BackendCall = backend.send(
      {
        method,
        path: '/',
        fields: ['Host', 'a', ...(upload ? ['Content-Length', '1000000000'] : [])],
        body,
        upgrade: undefined,
      },
      {
        onSend() {},
        onInform: status => outcome.informed.push(status),
        onResponse(status) {
          outcome.status = status
        },
        onData(chunk) {
          outcome.bytes += chunk.length
          if (pace === undefined) return
          call.pause()
          void pace().then(() => call.resume())
        },
        onEnd(trailers) {
          outcome.trailers = trailers
          over()
        },
        onUpgrade: over,
        onError(error) {
          outcome.error = (error as { code?: string }).code ?? error.name
          over()
        },
      },
    )
    if (body !== undefined) {
      const more = () => {
        while (!body.destroyed && body.write(Buffer.alloc(65_536)));
      }
      body.on('drain', more).on('error', () => {})
      more()
    }
  })
}

/** A backend that does as told with each connection that has begun to speak. */
async function serve(
  t: Teardown,
  scheme: string,
  act: (socket: Socket) => void,
): Promise<Backend> {
  const onSocket = (socket: Socket) => {
    socket.on('error', () => {})
    socket.once('data', () => act(socket))
  }
  const server: Server =
    scheme === 'https'
      ? createTlsServer({ ...certificate, allowHalfOpen: true }, onSocket)
      : createServer({ allowHalfOpen: true }, onSocket)
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const backend = new Backend(`${scheme}://localhost:${port}`, {
    ...limits,
    ca: certificate.cert,
  })
  t.teardown(() => {
    server.close()
    return backend.destroy()
  })
  return backend
}

const size = 100_000
const body = Buffer.alloc(size, 'x')
const chunks = Buffer.concat([
  Buffer.from(`${size.toString(16)}\r\n`),
  body,
  Buffer.from('\r\n0\r\nX-Last: 1\r\n\r\n'),
])
const chunked = 'Transfer-Encoding: chunked\r\n'
const length = `Content-Length: ${size}\r\n`
const close = 'Connection: close\r\n'

const whole: [framing: string, head: string, rest: Buffer][] = [
  ['a length, and said to be the last', `1 200 OK\r\n${close}${length}`, body],
  ['a length, kept alive, ended after all', `1 200 OK\r\n${length}`, body],
  ['ended by the connection', '1 200 OK\r\n', body],
  ['HTTP/1.0', '0 200 OK\r\n', body],
  ['HTTP/1.0 with a length', `0 200 OK\r\n${length}`, body],
  ['chunks, and said to be the last', `1 200 OK\r\n${close}${chunked}`, chunks],
  ['chunks, kept alive, ended after all', `1 200 OK\r\n${chunked}`, chunks],
  [
    'an interim answer before',
    `1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n${close}${length}`,
    body,
  ],
]

const cut: [framing: string, head: string, rest: Buffer][] = [
  ['short of its length', `1 200 OK\r\n${close}Content-Length: ${size + 1}\r\n`, body],
  [
    'short of its length, kept alive',
    `1 200 OK\r\nContent-Length: ${size + 1}\r\n`,
    body,
  ],
  [
    'without its last chunk',
    `1 200 OK\r\n${close}${chunked}`,
    chunks.subarray(0, size + 7),
  ],
  ['in the middle of a chunk', `1 200 OK\r\n${chunked}`, chunks.subarray(0, -1_000)],
]

for (const scheme of ['http', 'https']) {
  for (const slow of [false, true]) {
    const speed = slow ? 'slow' : 'fast'
    /** Sends all and ends; how the client fared that took it at its own speed. */
    const outcomeOf = async (t: Teardown, head: string, rest: Buffer) => {
      let sent = () => {}
      const ended = new Promise<void>(resolve => {
        sent = resolve
      })
      const backend = await serve(t, scheme, socket => {
        socket.write(`HTTP/1.${head}\r\n`)
        socket.end(rest, sent)
      })
      // The end is on its way before the second piece is asked for, and a turn later there.
      const pace = slow
        ? () => ended.then(() => new Promise(resolve => setImmediate(resolve)))
        : undefined
      return ask(backend, { pace })
    }

    t.test(`${scheme}: what came before the end reaches a ${speed} client`, async t => {
      for (const [framing, head, rest] of whole) {
        const outcome = await outcomeOf(t, head, rest)
        t.match(outcome, { status: 200, bytes: size, error: undefined }, framing)
        if (rest === chunks) t.strictSame(outcome.trailers, ['X-Last', '1'])
      }
    })

    t.test(`${scheme}: a ${speed} client is told of an answer cut short`, async t => {
      for (const [framing, head, rest] of cut) {
        const outcome = await outcomeOf(t, head, rest)
        t.match(outcome, { status: 200, error: String }, framing)
      }
    })
  }

  t.test(
    `${scheme}: a reset makes no answer whole that ends with its connection`,
    async t => {
      for (const late of [false, true]) {
        let reset = () => {}
        const gone = new Promise<void>(resolve => {
          reset = resolve
        })
        const backend = await serve(t, scheme, socket => {
          const raw = ((socket as { _parent?: Socket })._parent ?? socket) as Socket
          socket.write('HTTP/1.1 200 OK\r\n\r\n')
          socket.write(body, () => {
            raw.once('close', reset)
            raw.resetAndDestroy()
          })
        })
        const outcome = await ask(backend, { pace: late ? () => gone : undefined })
        t.equal(outcome.error, 'ECONNRESET', late ? 'paused' : 'reading')
      }
    },
  )

  t.test(
    `${scheme}: an end before or between answers is an error, and no more`,
    async t => {
      for (const head of [
        '',
        'HTTP/1.1 103 Early Hints\r\n\r\n',
        'HTTP/1.1 200 OK\r\nX: ',
      ]) {
        const backend = await serve(t, scheme, socket => socket.end(head))
        t.match(await ask(backend), { status: 0, error: 'UND_ERR_SOCKET' }, head)
      }
    },
  )

  t.test(`${scheme}: answers without a body, and an end behind them`, async t => {
    for (const [method, head] of [
      ['HEAD', `1 200 OK\r\n${length}`],
      ['HEAD', '0 200 OK\r\n'],
      ['GET', '1 204 No Content\r\n'],
      ['GET', `1 304 Not Modified\r\n${close}${length}`],
    ] as const) {
      const backend = await serve(t, scheme, socket => socket.end(`HTTP/1.${head}\r\n`))
      const outcome = await ask(backend, { method })
      t.match(outcome, { bytes: 0, error: undefined }, `${method} ${head}`)
    }
  })

  t.test(`${scheme}: an answer left behind wins over the error of writing`, async t => {
    const heads = [`${close}Content-Length: 3\r\n`, 'Content-Length: 3\r\n']
    for (let i = 0; i < 20; i++) {
      const backend = await serve(t, scheme, socket => {
        socket.pause()
        socket.write(`HTTP/1.1 413 Content Too Large\r\n${heads[i % 2]}\r\nno\n`, () =>
          socket.destroy(),
        )
      })
      t.match(await ask(backend, { method: 'POST', upload: true }), {
        status: 413,
        bytes: 3,
        error: undefined,
      })
    }
  })

  t.test(`${scheme}: a backend that leaves amid the request without a word`, async t => {
    const backend = await serve(t, scheme, socket => socket.destroy())
    const outcome = await ask(backend, { method: 'POST', upload: true })
    t.match(outcome, { status: 0, error: String })
  })
}
