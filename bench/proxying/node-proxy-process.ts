import { Agent, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  createSecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import httpProxy from 'http-proxy'
import { Pool } from 'undici'
import { bodyBytes } from './load.ts'
import type { NodeProxy } from './proxies.ts'

/** Entry of a proxy that people write on Node: the peers. */
process.on('message', ({ kind, http2, tls, backend }: NodeProxy) => {
  const handler = handlerOf(kind, backend)
  const server = http2
    ? createSecureServer({ ...tls, allowHTTP1: true }, handler as never)
    : createServer(tls, handler as never)
  server.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (server.address() as AddressInfo).port })
  })
})
process.on('disconnect', () => process.exit(0))

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse
type Handler = (request: Request, response: Response) => void

function handlerOf(kind: NodeProxy['kind'], backend: number): Handler {
  switch (kind) {
    case 'bare':
      return bare()
    case 'undici':
      return thirtyLines(`http://127.0.0.1:${backend}`)
    case 'http-proxy': {
      const proxy = httpProxy.createProxyServer({
        target: `http://127.0.0.1:${backend}`,
        agent: new Agent({ keepAlive: true, maxSockets: 256 }),
        xfwd: true,
      })
      proxy.on('error', (_error, _request, response) => response.destroy())
      return (request, response) =>
        proxy.web(request as IncomingMessage, response as ServerResponse)
    }
  }
}

/** No backend at all: what Node's server alone costs. */
function bare(): Handler {
  const bodies = new Map(
    (['small', 'mib'] as const).map(name => [
      `/${name}`,
      Buffer.alloc(bodyBytes[name], 'handfast '),
    ]),
  )
  return (request, response) => {
    const body = bodies.get(request.url ?? '') as Buffer
    response.writeHead(200, { 'content-length': String(body.length) })
    response.end(body)
  }
}

const dropped = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])

/** The least that passes requests on: no checks, no log, no limits. */
function thirtyLines(origin: string): Handler {
  const pool = new Pool(origin, { pipelining: 1 })
  return (request, response) => {
    const headers: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(request.headers)) {
      if (value === undefined || dropped.has(name) || name[0] === ':') continue
      headers[name] = value
    }
    const { ':authority': authority } = request.headers
    if (authority !== undefined) headers['host'] = authority
    headers['x-forwarded-for'] = request.socket.remoteAddress ?? ''
    headers['x-forwarded-proto'] = 'https'
    const hasBody = request.method !== 'GET' && request.method !== 'HEAD'
    pool.stream(
      {
        method: request.method as 'GET',
        path: request.url ?? '/',
        headers,
        ...(hasBody ? { body: request } : {}),
      },
      ({ statusCode, headers: fields }) => {
        for (const name of dropped) delete fields[name]
        response.writeHead(statusCode, fields as Record<string, string>)
        return response as ServerResponse
      },
      error => {
        if (error) response.destroy()
      },
    )
  }
}
