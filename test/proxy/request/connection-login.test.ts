import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import { Agent, request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import t from 'tap'
import {
  startBackend,
  startProxy,
  type Teardown,
  type TestBackend,
  type TestProxy,
} from '../../fixtures/proxy/servers.ts'
import { until } from '../../fixtures/until.ts'

interface Answer {
  readonly status: number
  readonly challenge: string
  readonly body: string
}
type Ask = (path: string, authorization?: string) => Promise<Answer>

/** Logs connections in, in three steps, as NTLM does. Each answer names its connection. */
async function startNtlm(t: Teardown, scheme = 'NTLM'): Promise<TestBackend> {
  const steps = new WeakMap<Socket, string>()
  const numbers = new WeakMap<Socket, number>()
  let last = 0
  return startBackend(t, (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    if (!numbers.has(socket)) numbers.set(socket, ++last)
    request.resume()
    const said = request.headers.authorization
    const refuse = (challenge: string) => {
      response.writeHead(401, { 'WWW-Authenticate': challenge })
      response.end(`nobody on ${numbers.get(socket)}`)
    }
    if (said === `${scheme} one`) {
      steps.set(socket, 'challenged')
      refuse(`${scheme} two`)
    } else if (said?.startsWith(`${scheme} three `)) {
      if (steps.get(socket) !== 'challenged') return refuse(scheme)
      steps.set(socket, said.slice(`${scheme} three `.length))
    }
    if (response.writableEnded) return
    const user = steps.get(socket)
    if (user === undefined || user === 'challenged') refuse(scheme)
    else response.end(`${user} on ${numbers.get(socket)}`)
  })
}

/** A client that has one connection to the proxy. */
function http1(t: Teardown, { url }: TestProxy): { ask: Ask; leave: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
  t.teardown(() => agent.destroy())
  const ask: Ask = async (path, authorization) => {
    const headers = authorization === undefined ? {} : { authorization }
    const request = httpsRequest(`${url}${path}`, { agent, headers }).end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    let body = ''
    for await (const chunk of response.setEncoding('utf8')) body += chunk
    const challenge = response.headers['www-authenticate'] ?? ''
    return { status: response.statusCode as number, challenge, body }
  }
  return { ask, leave: () => agent.destroy() }
}

function http2(t: Teardown, { url }: TestProxy): { ask: Ask; leave: () => void } {
  const session: ClientHttp2Session = connect(url, { rejectUnauthorized: false })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const ask: Ask = async (path, authorization) => {
    const headers = authorization === undefined ? {} : { authorization }
    const stream = session.request({ ':path': path, ...headers })
    const [fields] = await once(stream, 'response')
    let body = ''
    for await (const chunk of stream.setEncoding('utf8')) body += chunk
    const challenge = fields['www-authenticate'] ?? ''
    return { status: fields[':status'], challenge, body }
  }
  return { ask, leave: () => session.destroy() }
}

async function logIn(ask: Ask, user: string, scheme = 'NTLM'): Promise<Answer> {
  await ask('/')
  await ask('/', `${scheme} one`)
  return ask('/', `${scheme} three ${user}`)
}

for (const [version, client] of [
  ['HTTP/1.1', http1],
  ['HTTP/2', http2],
] as const) {
  t.test(`${version}: the steps of a log-in meet on one connection`, async t => {
    const first = await startNtlm(t)
    const second = await startNtlm(t)
    const proxy = await startProxy(t, { backends: [first.url, second.url] })
    const { ask } = client(t, proxy)
    t.match(await ask('/'), { status: 401, challenge: 'NTLM' })
    t.match(await ask('/', 'NTLM one'), { status: 401, challenge: 'NTLM two' })
    const { status, body } = await ask('/', 'NTLM three ann')
    t.equal(status, 200)
    for (let i = 0; i < 5; i++) t.match(await ask('/'), { status: 200, body })
  })

  t.test(`${version}: a log-in stays with the client that made it`, async t => {
    for (const scheme of ['NTLM', 'Negotiate']) {
      const backend = await startNtlm(t, scheme)
      const proxy = await startProxy(t, { backends: [backend.url] })
      const ann = client(t, proxy)
      t.match(await logIn(ann.ask, 'ann', scheme), { status: 200, body: /^ann/ })
      for (const strangers of [http1, http2]) {
        const stranger = strangers(t, proxy)
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, i) => stranger.ask(`/${i}`)),
        )
        for (const answer of answers) t.match(answer, { status: 401, body: /^nobody/ })
      }
      const bob = client(t, proxy)
      t.match(await logIn(bob.ask, 'bob', scheme), { status: 200, body: /^bob/ })
      t.match(await ann.ask('/'), { status: 200, body: /^ann/ })
      t.match(await bob.ask('/'), { status: 200, body: /^bob/ })
    }
  })

  t.test(`${version}: it ends with that client, and nobody has it after`, async t => {
    const backend = await startNtlm(t)
    const proxy = await startProxy(t, { backends: [backend.url] })
    const ann = client(t, proxy)
    await logIn(ann.ask, 'ann')
    ann.leave()
    await until(() => backend.sockets.size === 0, 'the connections of ann to end')
    t.match(await client(t, proxy).ask('/'), { status: 401 })
  })
}

t.test(
  'many at a time on HTTP/2: nobody else is served, few connections are kept',
  async t => {
    const backend = await startNtlm(t)
    const proxy = await startProxy(t, { backends: [backend.url] })
    const ann = http2(t, proxy)
    t.match(await logIn(ann.ask, 'ann'), { status: 200 })
    await Promise.all(Array.from({ length: 60 }, (_, i) => ann.ask(`/${i}`)))
    await until(() => backend.sockets.size <= 8, 'the other connections to end')
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => http1(t, proxy).ask('/')),
    )
    for (const answer of answers) t.match(answer, { status: 401, body: /^nobody/ })
  },
)

t.test('a Basic log-in binds nothing: it is said each time', async t => {
  const backend = await startBackend(t, (request, response) => {
    const { authorization } = request.headers
    if (authorization === undefined) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="negotiate"' })
    }
    response.end(String(request.socket.remotePort))
  })
  const proxy = await startProxy(t, { backends: [backend.url] })
  const { body } = await http1(t, proxy).ask('/')
  t.equal((await http1(t, proxy).ask('/', 'Basic YTpi')).body, body)
  t.equal((await http1(t, proxy).ask('/')).body, body, 'one connection does for all')
})
