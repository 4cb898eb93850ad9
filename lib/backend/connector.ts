import { connect as connectTcp, isIP, type Socket } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { type Clock, systemClock } from '../clock.ts'
import { type ProxyVersion, writeHeader } from '../proxy-protocol/header.ts'
import { endpointsOf } from './announced-client.ts'
import { backendError } from './failure.ts'
import { credentialsOf, type PoolOptions } from './pool.ts'
import { type Connected, raceTo } from './race.ts'
import type { BoundClient } from './request.ts'
import { TlsSessions } from './tls-sessions.ts'

/** Milliseconds of silence until the kernel asks whether the other end is there. */
const keepAliveDelay = 60_000
/** Bytes that may wait for a slow reader; of TLS as many as Node has it. */
const highWaterMark = 64 * 1024

/** What is on its way and can be given up. */
export interface Attempt {
  destroy(): void
}

/**
 * How connections to one origin come to stand: to whichever of its addresses answers first, with
 * TLS under its own name, and with a header of the PROXY protocol before all else where there is
 * to be one. TLS resumes where it can.
 */
export class Connector {
  /** What a backend is verified as: the name, or the address, of its URL. */
  readonly serverName: string
  readonly #address: string
  readonly #port: number
  /** Undefined without TLS. */
  readonly #tls: ConnectionOptions | undefined
  readonly #sessions: TlsSessions
  readonly #proxyProtocol: ProxyVersion | undefined
  readonly #timeout: number
  readonly #clock: Clock

  /** `protocol`: by ALPN (RFC 7301), the only one that is offered. */
  constructor(origin: URL, options: PoolOptions, protocol: 'http/1.1' | 'h2') {
    const { address, proxyProtocol, connectTimeout, clock = systemClock } = options
    const name = origin.hostname.replace(/^\[|\]$/g, '')
    const secure = origin.protocol === 'https:'
    this.serverName = name
    this.#address = address ?? name
    this.#port = Number(origin.port) || (secure ? 443 : 80)
    this.#tls = secure
      ? {
          ...credentialsOf(options),
          ALPNProtocols: [protocol],
          // Verified under its own name, but an address is no server name (RFC 6066 3).
          ...(isIP(name) ? {} : { servername: name }),
        }
      : undefined
    this.#sessions = options.sessions ?? new TlsSessions(clock)
    this.#proxyProtocol = proxyProtocol
    this.#timeout = connectTimeout
    this.#clock = clock
  }

  /**
   * `done` is called once, with an error of code UND_ERR_CONNECT_TIMEOUT when it took too long;
   * never after `destroy`. `owner`: whom a header of the PROXY protocol tells of.
   */
  connect(owner: BoundClient | undefined, done: Connected): Attempt {
    const attempts = new Set<Attempt>()
    let over = false
    const end = (): void => {
      over = true
      timer.cancel()
    }
    const giveUp = (): void => {
      end()
      for (const attempt of attempts) attempt.destroy()
    }
    const timer = this.#clock.after(this.#timeout, () => {
      giveUp()
      done(backendError('UND_ERR_CONNECT_TIMEOUT'))
    })
    raceTo(
      this.#address,
      (address, connected) => {
        if (over) throw backendError('UND_ERR_CLOSED')
        const attempt = this.#connectTo(address, owner, (error, socket) => {
          attempts.delete(attempt)
          connected(error, socket)
        })
        attempts.add(attempt)
        return attempt
      },
      (error, socket) => {
        if (over) {
          socket?.destroy()
          return
        }
        end()
        done(error, socket)
      },
    )
    return { destroy: giveUp }
  }

  #connectTo(
    address: string,
    owner: BoundClient | undefined,
    connected: Connected,
  ): Attempt {
    const tls = this.#tls
    const version = this.#proxyProtocol
    const at = { host: address, port: this.#port }
    /** Not to be destroyed any more once it is somebody's. */
    let current: Socket | undefined
    const attempt = { destroy: () => current?.destroy() }
    const settle: Connected = (error, socket) => {
      current = undefined
      socket?.setNoDelay(true).setKeepAlive(true, keepAliveDelay)
      connected(error, socket)
    }
    if (tls !== undefined && version === undefined) {
      current = this.#sessions.connect({ ...tls, ...at })
      whenUp(current, 'secureConnect', settle)
      return attempt
    }
    const options = { ...at, highWaterMark }
    const tcp = connectTcp(options)
    current = tcp
    whenUp(tcp, 'connect', error => {
      if (error !== null) {
        settle(error)
        return
      }
      if (version !== undefined) tcp.write(writeHeader(version, endpointsOf(owner)))
      if (tls === undefined) {
        settle(null, tcp)
        return
      }
      current = this.#sessions.connect({ ...tls, host: this.serverName, socket: tcp })
      whenUp(current, 'secureConnect', settle)
    })
    return attempt
  }
}

function whenUp(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  settle: Connected,
): void {
  const onUp = (): void => end(null)
  const end = (error: Error | null): void => {
    socket.off(event, onUp).off('error', end)
    if (error === null) settle(null, socket)
    else settle(error)
  }
  socket.on(event, onUp).on('error', end)
}
