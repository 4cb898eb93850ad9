import { once } from 'node:events'
import { download } from './download.ts'

/** A client on a host of its own. */
export interface ClientWish {
  readonly host: string
  readonly port: number
  readonly cert: string
  readonly rate: number
  /** Bytes after which it waits for a word. */
  readonly holdAt: number
}

export type ClientWord =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'held' }
  | { readonly kind: 'came'; readonly sha256: string }
  | { readonly kind: 'failed'; readonly reason: string }

function say(word: ClientWord): void {
  if (process.connected) process.send?.(word)
}

/** Bytes between two words of it. */
const step = 500_000

/** The program of the client; it ends with whoever started it. */
export async function runClient(): Promise<void> {
  process.once('disconnect', () => process.exit())
  const [wish] = await once(process, 'message')
  const { host, port, cert: ca, rate, holdAt } = wish as ClientWish
  let told = 0
  let isHeld = false
  try {
    const onProgress = async (bytes: number) => {
      if (bytes - told >= step) {
        told = bytes
        say({ kind: 'progress', bytes })
      }
      if (isHeld || bytes < holdAt) return
      isHeld = true
      const goOn = once(process, 'message')
      say({ kind: 'held' })
      await goOn
    }
    say({ kind: 'came', sha256: await download({ host, port, ca, rate, onProgress }) })
  } catch (error) {
    say({ kind: 'failed', reason: `the download failed: ${error}` })
  }
}
