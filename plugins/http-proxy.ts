/// <reference types="node" preserve="true" />

import type { Server } from 'node:tls'
import { HandfastError } from '../lib/errors.ts'
import type { Farm } from '../lib/member/farm.ts'

/** What `httpProxy.createProxyServer` or `createServer` of the package http-proxy makes. */
export interface HttpProxyServer {
  listen(port: number, hostname?: string): unknown
}

/**
 * Shares the TLS sessions of an http-proxy that has its own listener (`createServer({ ssl })`),
 * before or after it listens. http-proxy makes its https server only in `listen`, and keeps it
 * in `_server`; that is why this exists beside `farm.attach`.
 *
 * Throws ERR_HANDFAST_USAGE for a proxy without `ssl`; a server of your own that calls
 * `proxy.web` is attached itself, with `farm.attach(server)`.
 */
export function attachHttpProxy(farm: Farm, proxy: HttpProxyServer): void {
  if (typeof farm?.attach !== 'function') throw wrong('the first argument is no farm')
  if (typeof proxy?.listen !== 'function') throw wrong('the second argument is no proxy')
  const server = serverOf(proxy)
  if (server !== undefined) {
    farm.attach(server)
    return
  }
  const { listen } = proxy
  proxy.listen = (port, hostname) => {
    const listening = listen.call(proxy, port, hostname)
    proxy.listen = listen
    farm.attach(serverOf(proxy) ?? missing())
    return listening
  }
}

function serverOf(proxy: HttpProxyServer): Server | undefined {
  return (proxy as { _server?: Server })._server
}

function missing(): never {
  throw wrong('this http-proxy has no server of its own')
}

function wrong(message: string): HandfastError {
  return new HandfastError('ERR_HANDFAST_USAGE', `attachHttpProxy: ${message}`)
}
