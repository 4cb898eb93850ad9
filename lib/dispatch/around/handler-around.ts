import type { Duplex } from 'node:stream'
import type { Backend } from '../../backend/backend.ts'
import type { SlotLimit } from '../../backend/slots.ts'
import type { DispatchHandler } from '../dispatch.ts'

/** Passes everything on. One that changes something of it overrides that. */
export class HandlerAround implements DispatchHandler {
  protected readonly handler: DispatchHandler

  constructor(handler: DispatchHandler) {
    this.handler = handler
  }

  onSend(): void {
    this.handler.onSend()
  }

  onLimit(limit: SlotLimit, backend: Backend): void {
    this.handler.onLimit(limit, backend)
  }

  onInform(status: number, fields: string[]): void {
    this.handler.onInform(status, fields)
  }

  onResponse(status: number, text: string, fields: string[], last?: boolean): void {
    this.handler.onResponse(status, text, fields, last)
  }

  onData(chunk: Buffer): void {
    this.handler.onData(chunk)
  }

  onEnd(trailers: string[]): void {
    this.handler.onEnd(trailers)
  }

  onUpgrade(fields: string[], socket: Duplex): void {
    this.handler.onUpgrade(fields, socket)
  }

  onError(error: Error): void {
    this.handler.onError(error)
  }
}
