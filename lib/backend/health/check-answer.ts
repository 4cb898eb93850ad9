import { createContext, type Script, Script as VmScript } from 'node:vm'
import type { CheckOptions } from './check-options.ts'

/** What is read of a body: a page that tells how a backend is has no more. */
export const longestBody = 65_536

/** A regular expression that takes longer does not match: an answer must not hold all others up. */
const longestMatch = 250

/** Whether answers to a check are as they should be. */
export class CheckAnswer {
  readonly #options: CheckOptions
  readonly #script: Script | undefined
  readonly #context: { body: string } = { body: '' }

  constructor(options: CheckOptions) {
    this.#options = options
    if (options.matches === undefined) return
    createContext(this.#context)
    // As data: what stands in the file is a pattern, whatever it looks like.
    const pattern = JSON.stringify(options.matches)
    this.#script = new VmScript(`new RegExp(${pattern}).test(body)`)
  }

  /** Whether its body has to be read. */
  get readsBody(): boolean {
    return this.#script !== undefined || this.#options.contains !== undefined
  }

  /** What is wrong with it; undefined when nothing is. */
  faultOf(status: number, body: string): string | undefined {
    const { status: wanted, contains } = this.#options
    const right = wanted === undefined ? status >= 200 && status < 300 : status === wanted
    if (!right) return `status ${status}`
    if (contains !== undefined && !body.includes(contains)) return 'body'
    return this.#matches(body) ? undefined : 'body'
  }

  #matches(body: string): boolean {
    if (this.#script === undefined) return true
    this.#context.body = body
    try {
      return this.#script.runInContext(this.#context, { timeout: longestMatch }) === true
    } catch {
      return false
    } finally {
      this.#context.body = ''
    }
  }
}
