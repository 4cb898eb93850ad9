/**
 * The ClientHello, as far as resumption cares (RFC 8446 4.1.2, RFC 5246 7.4.1.2). Body of the
 * handshake message, all lengths big-endian:
 *
 *      version u16 | random 32 B | session_id <0..32> u8 | cipher_suites <..> u16
 *      | compression <..> u8 | extensions <..> u16: ( type u16 | body <..> u16 )*
 *
 * Anything that does not fit this shape is answered with undefined: TLS itself will send the
 * alert, we only decline to look any closer. Buffers are views of what was read.
 */
export interface ClientHello {
  /** legacy_session_id: a TLS 1.2 session ID, or noise for middleboxes in TLS 1.3. */
  readonly sessionId: Buffer
  /** From server_name, lower case; empty when absent. */
  readonly serverName: string
  /** The same as it was sent, which is how Node looks for the context of a name. */
  readonly sentName: string
  /** The client can speak TLS 1.3. */
  readonly supports13: boolean
  /** PSK identities of TLS 1.3, in order. */
  readonly identities: readonly Buffer[]
  /** The client allows psk_dhe_ke, the only key exchange that Node resumes with. */
  readonly allowsPskDhe: boolean
  /** The session ticket of TLS 1.2 that was offered, if any (RFC 5077). */
  readonly ticket: Buffer | undefined
  /** extended_master_secret was offered (RFC 7627). */
  readonly extendedMasterSecret: boolean
}

const extension = {
  serverName: 0,
  extendedMasterSecret: 23,
  sessionTicket: 35,
  preSharedKey: 41,
  supportedVersions: 43,
  pskKeyExchangeModes: 45,
} as const

const hostNameType = 0
const tls13 = 0x0304
const pskDheKe = 1
/** RFC 1035, 2.3.4. */
const longestName = 255
/** RFC 8446 has no limit; the hello itself is limited, this is against silly lists. */
const mostIdentities = 16

export function parseClientHello(
  bytes: Buffer,
  start = 0,
  end: number = bytes.length,
): ClientHello | undefined {
  const all = new Cursor(bytes, start, end)
  all.skip(2 + 32)
  const sessionId = all.bytes(all.u8())
  all.skip(all.u16())
  all.skip(all.u8())
  const hello = {
    sessionId,
    serverName: '',
    sentName: '',
    supports13: false,
    identities: [] as Buffer[],
    allowsPskDhe: false,
    ticket: undefined as Buffer | undefined,
    extendedMasterSecret: false,
  }
  if (!all.intact || sessionId.length > 32) return undefined
  if (all.atEnd) return hello
  const extensions = all.part(all.u16())
  while (extensions.intact && !extensions.atEnd) {
    const type = extensions.u16()
    const content = extensions.part(extensions.u16())
    switch (type) {
      case extension.serverName:
        hello.sentName = hostName(content)
        hello.serverName = hello.sentName.toLowerCase()
        break
      case extension.extendedMasterSecret:
        hello.extendedMasterSecret = true
        break
      case extension.sessionTicket:
        hello.ticket = content.atEnd ? undefined : content.bytes(content.left)
        break
      case extension.preSharedKey:
        hello.identities = pskIdentities(content)
        break
      case extension.supportedVersions:
        hello.supports13 = includes(content, 2, tls13)
        break
      case extension.pskKeyExchangeModes:
        hello.allowsPskDhe = includes(content, 1, pskDheKe)
        break
    }
    if (!content.intact) return undefined
  }
  if (!all.intact || !extensions.intact) return undefined
  return hello.serverName.length <= longestName ? hello : undefined
}

/** RFC 6066, 3: a list of (type, name); only host names exist. */
function hostName(content: Cursor): string {
  const list = content.part(content.u16())
  while (list.intact && !list.atEnd) {
    const type = list.u8()
    const name = list.part(list.u16())
    if (list.intact && type === hostNameType) return name.text()
  }
  return ''
}

/** RFC 8446, 4.2.11: identities with their ages; the binders behind them are TLS's to check. */
function pskIdentities(content: Cursor): Buffer[] {
  const identities: Buffer[] = []
  const list = content.part(content.u16())
  while (list.intact && !list.atEnd && identities.length < mostIdentities) {
    identities.push(list.bytes(list.u16()))
    list.skip(4)
  }
  return identities
}

/** Whether the list, whose own length is one byte, holds it. */
function includes(content: Cursor, width: 1 | 2, wanted: number): boolean {
  const list = content.part(content.u8())
  while (list.left >= width) {
    if ((width === 1 ? list.u8() : list.u16()) === wanted) return true
  }
  return false
}

/**
 * Reads a part of the bytes forward and remembers whether it ever ran over the end; it never
 * throws. Copies nothing, since every handshake pays for it.
 */
class Cursor {
  readonly #all: Buffer
  #at: number
  readonly #end: number
  intact = true

  constructor(all: Buffer, start: number, end: number) {
    this.#all = all
    this.#at = start
    this.#end = end
  }

  get left(): number {
    return this.#end - this.#at
  }

  get atEnd(): boolean {
    return this.#at >= this.#end
  }

  u8(): number {
    return this.#take(1) ? (this.#all[this.#at - 1] as number) : 0
  }

  u16(): number {
    if (!this.#take(2)) return 0
    const all = this.#all
    return ((all[this.#at - 2] as number) << 8) | (all[this.#at - 1] as number)
  }

  bytes(length: number): Buffer {
    if (!this.#take(length)) return nothing
    return this.#all.subarray(this.#at - length, this.#at)
  }

  part(length: number): Cursor {
    const start = this.#take(length) ? this.#at - length : this.#at
    return new Cursor(this.#all, start, this.#at)
  }

  /** All that is left. */
  text(): string {
    return this.#all.toString('latin1', this.#at, this.#end)
  }

  skip(length: number): void {
    this.#take(length)
  }

  #take(length: number): boolean {
    if (this.intact && this.#at + length <= this.#end) this.#at += length
    else this.intact = false
    return this.intact
  }
}

const nothing = Buffer.alloc(0)
