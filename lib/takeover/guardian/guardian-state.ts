import { createServer } from 'node:net'
import { detectNative, type NativeSupport } from '../native/detect.ts'
import { hasHandle } from './system-handle.ts'

/** `off`: nobody asked for one. Else `on`, or why there is none, in a sentence. */
export type GuardianState = 'off' | 'on' | (string & {})

/** Whether this process can be, or have, a guardian. Never throws. */
export async function guardianState(
  isWanted: boolean,
  detect: () => Promise<NativeSupport> = detectNative,
): Promise<GuardianState> {
  if (!isWanted) return 'off'
  const { sockets, missing } = await detect()
  if (sockets === undefined) return missing?.text ?? 'sockets can not be looked at'
  if (!(await givesHandles())) return 'this version of Node gives no sockets away'
  return 'on'
}

function givesHandles(): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(0, '127.0.0.1', () => {
      const found = hasHandle(server)
      server.close(() => resolve(found))
    })
  })
}
