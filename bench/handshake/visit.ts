import { connect } from 'node:net'
import { type SecureContext, connect as secureConnect } from 'node:tls'
import { serverName } from '../certificates/identity.ts'

/** A visit that takes longer has failed. */
const visitTimeout = 15_000

/** Sent on every connection: resumption exists for what comes after it. */
const request = `GET / HTTP/1.1\r\nHost: ${serverName}\r\nConnection: close\r\n\r\n`

export interface VisitOptions {
  readonly port: number
  readonly context: SecureContext
  /** Offered to the server; undefined asks for a full handshake. */
  readonly session?: Buffer | undefined
}

/** One connection from its first packet to its end, seen by the client. */
export interface Visit {
  /** Milliseconds from the TCP connect to the end of the handshake. */
  readonly handshake: number
  /** Milliseconds from the TCP connect to the first byte of the response. */
  readonly firstByte: number
  readonly resumed: boolean
  /** What the server said in its `x-resumed` header; undefined when it says nothing. */
  readonly serverResumed: boolean | undefined
  /** Bytes on the socket less those of the HTTP request and response. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Sessions the server gave, oldest first. */
  readonly sessions: Buffer[]
}

/** Connects, sends one small request, reads the response to its end. */
export function visit({ port, context, session }: VisitOptions): Promise<Visit> {
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const raw = connect({ port, host: '127.0.0.1', noDelay: true })
    const socket = secureConnect({
      socket: raw,
      servername: serverName,
      secureContext: context,
      ...(session === undefined ? {} : { session }),
    })
    const sessions: Buffer[] = []
    let handshake = 0
    let firstByte = 0
    let resumed = false
    let response = ''
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no end after ${visitTimeout} ms`))
    }, visitTimeout)
    socket.setEncoding('latin1')
    socket.on('session', fresh => sessions.push(fresh))
    socket.on('secureConnect', () => {
      handshake = performance.now() - began
      resumed = socket.isSessionReused()
      socket.write(request)
    })
    socket.on('data', (text: string) => {
      if (response === '') firstByte = performance.now() - began
      response += text
    })
    const fail = (error: Error): void => {
      clearTimeout(timer)
      raw.destroy()
      reject(error)
    }
    raw.on('error', fail)
    socket.on('error', fail)
    socket.on('close', () => {
      clearTimeout(timer)
      if (!response.startsWith('HTTP/1.1 200')) {
        reject(new Error(`no response but "${response.slice(0, 40)}"`))
        return
      }
      resolve({
        handshake,
        firstByte,
        resumed,
        serverResumed: serverWord(response),
        bytesSent: raw.bytesWritten - request.length,
        bytesReceived: raw.bytesRead - response.length,
        sessions,
      })
    })
  })
}

function serverWord(response: string): boolean | undefined {
  const word = /^x-resumed: (yes|no)\r$/im.exec(response)?.[1]
  return word === undefined ? undefined : word === 'yes'
}
