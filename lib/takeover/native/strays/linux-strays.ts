import type { Libc } from '../libc.ts'
import type { Missing } from '../missing.ts'
import { flag, readSegment, type Segment } from '../packets/segment.ts'
import { headers } from '../packets/segment-filter.ts'
import { SegmentSender } from '../packets/segment-sender.ts'
import { runNft } from './nft.ts'
import { PacketLog } from './packet-log.ts'
import type { StrayPort, StrayPorts } from './stray-port.ts'
import { loadScript, type StrayRules, unloadScript } from './stray-rules.ts'

/** For the question whether it can be: an address of documentation (RFC 5737), and no port. */
const trial = { address: '192.0.2.1', ports: [0] } as const

/** Through nftables and nfnetlink_log, for packets that the TCP of the kernel is not to see. */
export class LinuxStrays implements StrayPorts {
  readonly #libc: Libc
  readonly #run: typeof runNft

  constructor(libc: Libc, run: typeof runNft = runNft) {
    this.#libc = libc
    this.#run = run
  }

  async missing(): Promise<Missing | undefined> {
    try {
      new PacketLog(this.#libc, process.pid, headers).close()
    } catch (error) {
      const text = `the kernel needs nfnetlink_log (${(error as Error).message})`
      return { reason: 'no-packet-log', text }
    }
    try {
      await this.#run(loadScript({ ...trial, group: 0 }), { check: true })
      return undefined
    } catch (error) {
      const text = `the command nft, and a kernel with nft_socket, are needed (${(error as Error).message})`
      return { reason: 'no-nft', text }
    }
  }

  async open(
    address: string,
    ports: readonly number[],
    onStray: (segment: Segment) => void,
  ): Promise<StrayPort> {
    const log = new PacketLog(this.#libc, process.pid, headers)
    let sender: SegmentSender | undefined
    try {
      sender = new SegmentSender(this.#libc)
      const rules = { address, ports, group: log.group }
      await this.#run(loadScript(rules))
      const port = new LinuxStrayPort(sender, log, rules, this.#run)
      log.start(packet => {
        const segment = readSegment(packet)
        if (segment !== undefined) onStray(segment)
      })
      return port
    } catch (error) {
      log.close()
      sender?.close()
      throw error
    }
  }
}

class LinuxStrayPort implements StrayPort {
  readonly #sender: SegmentSender
  readonly #log: PacketLog
  readonly #rules: StrayRules
  readonly #run: typeof runNft
  #closed: Promise<void> | undefined

  constructor(
    sender: SegmentSender,
    log: PacketLog,
    rules: StrayRules,
    run: typeof runNft,
  ) {
    this.#sender = sender
    this.#log = log
    this.#rules = rules
    this.#run = run
  }

  /** Without a FIN, which would be at the place of what it carried. */
  pass(segment: Segment): void {
    const flags = segment.flags & ~flag.fin
    this.#sender.send({ ...segment, flags, data: Buffer.alloc(0) })
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#log.close()
    this.#sender.close()
    await this.#run(unloadScript(this.#rules))
  }
}
