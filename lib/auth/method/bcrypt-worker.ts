import { parentPort } from 'node:worker_threads'
import { compareSync } from 'bcryptjs'

/** One comparison; the answer has the same `id`. */
export interface BcryptTask {
  readonly id: number
  readonly password: string
  readonly hash: string
}

export interface BcryptResult {
  readonly id: number
  readonly equal: boolean
}

parentPort?.on('message', ({ id, password, hash }: BcryptTask) => {
  const result: BcryptResult = { id, equal: compareSync(password, hash) }
  parentPort?.postMessage(result)
})
