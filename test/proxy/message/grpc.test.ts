import { once } from 'node:events'
import {
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import t from 'tap'
import {
  grpcClient,
  startGrpcServer,
  type TestClient,
} from '../../fixtures/grpc/service.ts'
import { defaultSite, startProxy, type Teardown } from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

type Unary = ServerUnaryCall<Buffer, Buffer>
type Down = ServerWritableStream<Buffer, Buffer>
type Up = ServerReadableStream<Buffer, Buffer>
type Both = ServerDuplexStream<Buffer, Buffer>

/** Through a proxy to a server of gRPC. */
async function through(
  t: Teardown,
  implementation: Parameters<typeof startGrpcServer>[1],
  limits = {},
) {
  const { port: backend, server } = await startGrpcServer(t, implementation)
  const site = await defaultSite([`http://127.0.0.1:${backend}`])
  const { port, log } = await startProxy(t, {
    sites: [{ ...site, backendProtocol: 'http2' }],
    limits,
  })
  return { client: await grpcClient(t, port), log, server, port }
}

function ask(
  client: TestClient,
  text: string,
  options: object = {},
): Promise<{ error: ServiceError | null; text: string | undefined }> {
  return new Promise(resolve => {
    client.unary(Buffer.from(text), new Metadata(), options, (error, value) =>
      resolve({ error, text: value?.toString() }),
    )
  })
}

async function all(stream: AsyncIterable<Buffer>): Promise<string[]> {
  const texts: string[] = []
  for await (const chunk of stream) texts.push(chunk.toString())
  return texts
}

t.test('a unary call, its metadata and its trailers', async t => {
  const { client } = await through(t, {
    unary(call: Unary, done: sendUnaryData<Buffer>) {
      const trailers = new Metadata()
      trailers.set('x-trailer', String(call.metadata.get('x-asked')[0]))
      done(null, Buffer.from(`<${call.request}>`), trailers)
    },
  })
  const asked = new Metadata()
  asked.set('x-asked', 'yes')
  const call = client.unary(Buffer.from('a'), asked, {}, () => {})
  const [end] = (await once(call, 'status')) as [{ code: number; metadata: Metadata }]
  t.equal(end.code, status.OK)
  t.strictSame(end.metadata.get('x-trailer'), ['yes'])
  t.equal((await ask(client, 'b')).text, '<b>')
})

t.test('an error of the server is one header section, and arrives as it is', async t => {
  const { client, log } = await through(t, {
    unary(_call: Unary, done: sendUnaryData<Buffer>) {
      done({ code: status.NOT_FOUND, details: 'no such thing: ü' })
    },
  })
  const { error } = await ask(client, 'a')
  t.equal(error?.code, status.NOT_FOUND)
  t.equal(error?.details, 'no such thing: ü')
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { status: 200 })
})

t.test('a stream of answers, of questions, and both at a time', async t => {
  const { client } = await through(t, {
    down(call: Down) {
      for (let i = 0; i < 200; i++) call.write(Buffer.from(String(i)))
      call.end()
    },
    up(call: Up, done: sendUnaryData<Buffer>) {
      let bytes = 0
      call.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      call.on('end', () => done(null, Buffer.from(String(bytes))))
    },
    both(call: Both) {
      call.on('data', (chunk: Buffer) => call.write(Buffer.from(`<${chunk}>`)))
      call.on('end', () => call.end())
    },
  })
  const texts = await all(client.down(Buffer.from('a')))
  t.strictSame(
    texts,
    Array.from({ length: 200 }, (_, i) => String(i)),
  )

  const counted = await new Promise<string | undefined>((resolve, reject) => {
    const call = client.up(new Metadata(), (error, value) =>
      error === null ? resolve(value?.toString()) : reject(error),
    )
    for (let i = 0; i < 100; i++) call.write(Buffer.alloc(10_000))
    call.end()
  })
  t.equal(counted, '1000000')

  // Each question is asked when the answer to the one before has come.
  const call = client.both()
  const heard: string[] = []
  call.on('data', (chunk: Buffer) => {
    heard.push(chunk.toString())
    if (heard.length === 50) call.end()
    else call.write(Buffer.from(String(heard.length)))
  })
  call.write(Buffer.from('0'))
  await once(call, 'end')
  t.equal(heard.length, 50)
  t.equal(heard[49], '<49>')
})

t.test('a server may speak first, before a word of the client', async t => {
  const { client } = await through(t, {
    both(call: Both) {
      call.sendMetadata(new Metadata())
      call.write(Buffer.from('hello'))
      call.on('data', (chunk: Buffer) => {
        call.write(chunk)
        call.end()
      })
    },
  })
  const call = client.both()
  const [first] = (await once(call, 'data')) as [Buffer]
  t.equal(first.toString(), 'hello')
  call.write(Buffer.from('bye'))
  const [second] = (await once(call, 'data')) as [Buffer]
  t.equal(second.toString(), 'bye')
  call.end()
  call.resume()
  await once(call, 'end')
})

t.test('a stream may be silent for longer than a body', async t => {
  const { client } = await through(
    t,
    {
      both(call: Both) {
        call.on('data', (chunk: Buffer) =>
          setTimeout(() => {
            call.write(chunk)
            call.end()
          }, 2_000),
        )
      },
    },
    { bodyTimeout: 1_000, backendBodyTimeout: 1_000, backendHeadersTimeout: 1_000 },
  )
  const call = client.both()
  call.write(Buffer.from('still there'))
  t.strictSame(await all(call), ['still there'])
})

t.test(
  'a call on which nobody has said a word is ended after the time for bodies',
  async t => {
    const { client, log } = await through(
      t,
      {
        both(call: Both) {
          call.on('error', () => {})
          if (call.metadata.get('speaks').length > 0) call.sendMetadata(new Metadata())
        },
      },
      { bodyTimeout: 1_000 },
    )
    const silent = client.both()
    const [error] = (await once(silent, 'error')) as [ServiceError]
    t.equal(error.code, status.DEADLINE_EXCEEDED)
    await until(() => log.requests.length === 1)
    t.match(log.requests[0], { error: 'timeout' })

    const speaks = new Metadata()
    speaks.set('speaks', 'yes')
    const spoken = client.both(speaks)
    let over = false
    spoken.on('error', () => {
      over = true
    })
    await once(spoken, 'metadata')
    // As long again as the other had, and one that is silent behind it ends first.
    const later = client.both()
    await once(later, 'error')
    t.notOk(over, 'one that the server has answered may be silent')
    spoken.cancel()
  },
)

t.test('what the client gives up, the server hears of', async t => {
  let cancelled = 0
  const { client, log } = await through(t, {
    down(call: Down) {
      call.write(Buffer.from('first'))
      call.on('cancelled', () => cancelled++)
    },
  })
  const call = client.down(Buffer.from('a'))
  call.on('error', () => {})
  await once(call, 'data')
  call.cancel()
  await until(() => cancelled === 1, 'cancelled')
  await until(() => log.requests.length === 1)
})

t.test('a deadline goes to the server, and ends the call there', async t => {
  const deadlines: number[] = []
  let cancelled = 0
  const { client } = await through(t, {
    unary(call: Unary) {
      deadlines.push(Number(call.getDeadline()))
      call.on('cancelled', () => cancelled++)
    },
  })
  const { error } = await ask(client, 'a', { deadline: Date.now() + 2_500 })
  t.equal(error?.code, status.DEADLINE_EXCEEDED)
  t.equal(deadlines.length, 1)
  t.ok((deadlines[0] as number) < Date.now() + 1_000)
  await until(() => cancelled === 1, 'cancelled')
})

t.test('where no backend answers the client hears it in the words of gRPC', async t => {
  const site = await defaultSite(['http://127.0.0.1:9'])
  const { port } = await startProxy(t, {
    sites: [{ ...site, backendProtocol: 'http2' }],
  })
  const { error } = await ask(await grpcClient(t, port), 'a')
  t.equal(error?.code, status.UNAVAILABLE)
  t.match(error?.details, /Bad Gateway/)
})

t.test('a server that dies in the middle of a stream is unavailable, too', async t => {
  const { client, server, log } = await through(t, {
    down(call: Down) {
      call.write(Buffer.from('first'))
    },
  })
  const call = client.down(Buffer.from('a'))
  await once(call, 'data')
  const failed = once(call, 'error')
  server.forceShutdown()
  const [error] = (await failed) as [ServiceError]
  t.equal(error.code, status.UNAVAILABLE)
  t.equal(error.details, 'Bad Gateway')
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { status: 200, error: /./ })
})

t.test('a call goes on to the next backend where one can not be reached', async t => {
  const { port: backend } = await startGrpcServer(t, {
    unary: (call: Unary, done: sendUnaryData<Buffer>) => done(null, call.request),
  })
  const site = await defaultSite(['http://127.0.0.1:9', `http://127.0.0.1:${backend}`])
  const { port } = await startProxy(t, {
    sites: [{ ...site, backendProtocol: 'http2' }],
  })
  const client = await grpcClient(t, port)
  for (const text of ['a', 'b', 'c']) {
    const answer = await ask(client, text, { deadline: Date.now() + 20_000 })
    t.match(answer, { error: null, text })
  }
})

t.test('a backend that speaks no HTTP/2 is said to be unavailable', async t => {
  const { createServer } = await import('node:https')
  const { p256 } = await import('../../fixtures/tls/certificates.ts')
  const identity = await p256('localhost')
  const server = createServer(identity, (_request, response) => response.end())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port: backend } = server.address() as { port: number }
  const site = await defaultSite([`https://localhost:${backend}`])
  const { port, log } = await startProxy(t, {
    sites: [{ ...site, backendProtocol: 'http2', backendCa: identity.cert }],
  })
  const { error } = await ask(await grpcClient(t, port), 'a')
  t.equal(error?.code, status.UNAVAILABLE)
  await until(() => log.requests.length === 1)
  t.match(log.requests[0], { error: /ERR_NO_HTTP2|ERR_SSL/ })
})

t.test('over TLS to the backend, by ALPN', async t => {
  const { p256 } = await import('../../fixtures/tls/certificates.ts')
  const { cert } = await p256('localhost')
  const { port: backend } = await startGrpcServer(
    t,
    {
      unary: (call: Unary, done: sendUnaryData<Buffer>) => done(null, call.request),
    },
    { secure: true },
  )
  const site = await defaultSite([`https://localhost:${backend}`])
  const { port } = await startProxy(t, {
    sites: [{ ...site, backendProtocol: 'http2', backendCa: cert }],
  })
  t.equal((await ask(await grpcClient(t, port), 'over TLS')).text, 'over TLS')
})

t.test('many calls at a time, and none is lost when a backend is replaced', async t => {
  const implementation = {
    unary: (call: Unary, done: sendUnaryData<Buffer>) => done(null, call.request),
  }
  const { client, server } = await through(t, implementation)
  let answered = 0
  let failed = 0
  const batch = async (): Promise<void> => {
    for (let i = 0; i < 50; i++) {
      const { error, text } = await ask(client, String(i))
      if (error === null && text === String(i)) answered++
      else failed++
    }
  }
  await Promise.all(Array.from({ length: 20 }, batch))
  t.equal(answered, 1_000)
  t.equal(failed, 0)
  // Its GOAWAY lets what is under way finish.
  const last = ask(client, 'last')
  server.tryShutdown(() => {})
  const { error } = await last
  t.ok(error === null || error.code === status.UNAVAILABLE)
})
