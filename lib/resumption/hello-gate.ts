import type { Duplex } from 'node:stream'
import type { Clock } from '../clock.ts'
import type { ClientHello } from './client-hello.ts'
import { HelloReader } from './hello-reader.ts'

export type HelloOutcome =
  /** The bytes are back in the socket; `hello` is undefined when they were none. */
  | { readonly kind: 'read'; readonly hello?: ClientHello; readonly records: number }
  /** The connection ended or was silent too long; it is destroyed. */
  | { readonly kind: 'gone'; readonly reason: string }

export interface HelloOptions {
  readonly clock: Clock
  /** Milliseconds from accept to the whole hello. */
  readonly timeout: number
}

/**
 * Reads the ClientHello off a fresh connection and puts every byte back, paused, for TLS to
 * read. Calls back exactly once.
 */
export function readHello(
  socket: Duplex,
  options: HelloOptions,
  callback: (outcome: HelloOutcome) => void,
): void {
  const reader = new HelloReader()
  const timer = options.clock.after(options.timeout, () => fail('no ClientHello in time'))

  const onData = (chunk: Buffer) => {
    const hello = reader.push(chunk)
    if (hello === 'more') return
    release()
    socket.pause()
    socket.unshift(reader.bytes)
    const { records } = reader
    callback(
      hello === 'other' ? { kind: 'read', records } : { kind: 'read', hello, records },
    )
  }
  const onError = (error: Error & { code?: string }) => fail(error.code ?? 'error')
  const onEnd = () => fail('closed by the client')

  const release = () => {
    timer.cancel()
    socket.off('data', onData)
    socket.off('end', onEnd)
    socket.off('close', onEnd)
    socket.off('error', onError)
  }
  const fail = (reason: string) => {
    release()
    socket.on('error', ignore)
    socket.destroy()
    callback({ kind: 'gone', reason })
  }

  socket.on('data', onData)
  socket.on('end', onEnd)
  socket.on('close', onEnd)
  socket.on('error', onError)
  // A server made with pauseOnConnect hands it over paused.
  socket.resume()
}

/** A connection that we have given up may still report errors; nobody else listens. */
function ignore(): void {}
