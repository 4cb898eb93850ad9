import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Io } from '../../command.ts'
import type { DemoCertificate } from '../certificate.ts'
import { apart } from './networks.ts'
import type { SceneSize } from './process-scene.ts'
import { ProgressLine } from './progress-line.ts'
import { handfast } from './proxy.ts'

/** To the program in networks of its own. */
export interface HostWish extends SceneSize {
  readonly cert: string
  readonly certFile: string
  readonly keyFile: string
}

/** From it. */
export type HostWord =
  | { readonly kind: 'ready' }
  | { readonly kind: 'say'; readonly text: string }
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'end'; readonly isRight: boolean }
  | { readonly kind: 'failed'; readonly reason: string }

/** A download from a host that is cut off and killed, between hosts of a network of its own. */
export async function showHost(
  size: SceneSize,
  { cert, certFile, keyFile }: DemoCertificate,
  io: Io,
): Promise<boolean> {
  const inside = [process.execPath, ...handfast, 'demo-part', 'hosts']
  const child = spawn('unshare', [...apart, ...inside], {
    cwd: io.cwd,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let words = ''
  child.stderr?.on('data', chunk => {
    words += chunk
  })
  const line = new ProgressLine(io.stdout, size.bytes)
  let isRight = false
  child.on('message', (word: HostWord) => {
    const wish: HostWish = { ...size, cert, certFile, keyFile }
    if (word.kind === 'ready') child.send(wish)
    if (word.kind === 'say') line.say(word.text)
    if (word.kind === 'progress') line.show(word.bytes)
    if (word.kind === 'failed') words += word.reason
    if (word.kind === 'end') {
      isRight = word.isRight
      if (isRight) line.show(size.bytes)
      child.send('bye')
    }
  })
  const [code] = await once(child, 'close')
  line.end()
  if (!isRight && words !== '') line.say(words.trim())
  return isRight && code === 0
}
