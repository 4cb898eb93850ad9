import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { type Address, formatAddress, parseAddress, plainHost } from '../../address.ts'
import type { Clock } from '../../clock.ts'
import { LastingFault } from '../../limit/lasting-fault.ts'
import type { Log } from '../../log.ts'

export interface MemberAddressesOptions {
  readonly members: readonly string[]
  readonly defaultPort: number
  readonly resolve?: ((host: string) => Promise<readonly string[]>) | undefined
  /** Longest wait for the resolver. */
  readonly timeout: number
  readonly clock: Clock
  readonly log: Log
}

/** The members from the options, names resolved to all addresses that they stand for. */
export class MemberAddresses {
  readonly #options: MemberAddressesOptions
  readonly #members: readonly Address[]
  /** Last good answer for each name: a resolver that is down takes no member away. */
  readonly #answers = new Map<string, readonly string[]>()
  readonly #faults = new Map<string, LastingFault>()

  constructor(options: MemberAddressesOptions) {
    this.#options = options
    this.#members = options.members.map(text =>
      parseAddress(text, options.defaultPort === 0 ? undefined : options.defaultPort),
    )
  }

  get hasNames(): boolean {
    return this.#members.some(({ host }) => isIP(host) === 0)
  }

  /** Names that have stood for no address so far. */
  get unresolved(): string[] {
    const names = new Set(this.#members.map(({ host }) => host).filter(isName))
    return [...names].filter(name => !this.#answers.get(name)?.length)
  }

  async resolve(): Promise<string[]> {
    const names = new Set(this.#members.map(({ host }) => host).filter(isName))
    await Promise.all([...names].map(name => this.#ask(name)))
    return this.#members.flatMap(({ host, port }) => {
      const hosts = isName(host) ? (this.#answers.get(host) ?? []) : [host]
      return hosts.map(address => formatAddress({ host: address, port }))
    })
  }

  async #ask(name: string): Promise<void> {
    const { resolve = systemResolver, timeout, clock } = this.#options
    let cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      const timer = clock.after(timeout, () => reject(new Error('no answer in time')))
      cancel = () => timer.cancel()
    })
    try {
      const answers = await Promise.race([resolve(name), late])
      this.#faultOf(name).worked()
      this.#answers.set(name, answers.filter(host => isIP(host) !== 0).map(plainHost))
    } catch (error) {
      this.#faultOf(name).failed(error)
    } finally {
      cancel()
    }
  }

  #faultOf(name: string): LastingFault {
    const { clock, log } = this.#options
    const known = this.#faults.get(name)
    if (known !== undefined) return known
    const fault = new LastingFault({
      ...{ clock, log, fields: { name } },
      text: 'member name not resolved',
      over: 'member name resolved again',
    })
    this.#faults.set(name, fault)
    return fault
  }
}

function isName(host: string): boolean {
  return isIP(host) === 0
}

async function systemResolver(host: string): Promise<string[]> {
  const answers = await lookup(host, { all: true })
  return answers.map(({ address }) => address)
}
