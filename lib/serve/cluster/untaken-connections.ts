import type { Worker } from 'node:cluster'
import type { EventEmitter } from 'node:events'

/**
 * What node:cluster has sent to a worker that has not said yet whether it takes it. When that
 * worker dies Node hears no answer and keeps the socket open, so its client would wait for ever
 * (Node 20 to 24, lib/internal/cluster/round_robin_handle.js). Answers what gives them to another
 * worker, whose answer Node takes for the one that it waits for, or closes them where there is
 * none. The messages of the two are not documented; where they look otherwise nothing is done.
 */
export function untakenBy({ process: child }: Of): (heir: Of | undefined) => void {
  const untaken = new Map<number, Untaken>()
  const send = child.send.bind(child) as Send
  const watched: Send = (message, handle, ...more) => {
    const { cmd, act, seq } = message as Record<string, unknown>
    const isConnection = cmd === 'NODE_CLUSTER' && act === 'newconn'
    if (isConnection && typeof seq === 'number' && canBeClosed(handle)) {
      untaken.set(seq, { message, handle })
    }
    return send(message, handle, ...more)
  }
  Object.assign(child, { send: watched })
  const events: EventEmitter = child
  // What the worker did not want goes to another one.
  events.on('internalMessage', ({ ack }: { ack?: number }) => {
    if (ack !== undefined) untaken.delete(ack)
  })
  return heir => {
    for (const { message, handle } of untaken.values()) {
      const give = heir?.process.send.bind(heir.process) as Send | undefined
      if (give === undefined) handle.close()
      else give(message, handle)
    }
    untaken.clear()
  }
}

type Of = Pick<Worker, 'process'>
type Send = (message: unknown, handle?: unknown, ...more: unknown[]) => boolean

interface Untaken {
  readonly message: unknown
  readonly handle: { close(): void }
}

function canBeClosed(handle: unknown): handle is { close(): void } {
  return typeof (handle as { close?: unknown } | undefined)?.close === 'function'
}

/** Of a worker that has exited: calls back when nothing that it has said is on its way any more. */
export function whenSilent(worker: Worker, silent: () => void): void {
  if (!worker.isConnected()) {
    silent()
    return
  }
  const end = () => {
    clearTimeout(timer)
    worker.off('disconnect', end)
    silent()
  }
  // Node does not tell of it where a message broke off in its middle.
  const timer = setTimeout(end, longestSilence)
  worker.once('disconnect', end)
}

/** Milliseconds. */
const longestSilence = 1_000
