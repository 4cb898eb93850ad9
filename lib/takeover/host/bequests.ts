import { decodeCheckpoint } from '../checkpoint/codec.ts'
import type { Standing } from '../commit/commit-word.ts'
import { wipe } from '../connection/connection-state.ts'
import type { Endpoint } from '../native/native-socket.ts'
import { withoutMapping } from '../native/socket-address.ts'
import { endOf } from '../plan/planned-response.ts'
import type { LeftConnection, TakeoverBoard } from './board/board.ts'
import { decodeKernel } from './board/kernel-codec.ts'
import type { MemberCommit } from './board/member-commit.ts'
import type { ResetCause } from './restore/connection-takeover.ts'
import type { Bequest } from './restore/restorations.ts'

/** A connection that was another host's. */
export interface Left {
  /** Of the connection, 16 bytes. */
  readonly id: Buffer
  readonly checkpoint: Buffer
  readonly standing: Standing
}

export interface BequestsParts {
  readonly board: TakeoverBoard
  readonly commit: MemberCommit
  onReset(cause: ResetCause): void
}

/** What other members have told of their connections, as what it takes to go on with them. */
export class Bequests {
  readonly #parts: BequestsParts

  constructor(parts: BequestsParts) {
    this.#parts = parts
  }

  /** `isFirst`: nobody can have gone on from the same words before. */
  of(member: string, address: string, isFirst: boolean): Bequest<Left>[] {
    const { board, commit } = this.#parts
    const committed = commit.of(member)
    const left = [...board.of(member), ...(isFirst ? committed : committed.map(loose))]
    return left.flatMap(each => this.from(each, address))
  }

  /** One of them, whose place is known; see WordListener. */
  at(
    member: string,
    { owner, about, id }: { owner: string; about: string; id: Buffer },
    address: string,
  ): Bequest<Left> | undefined {
    const { board, commit } = this.#parts
    return [...board.at(owner, about), ...commit.at(owner, about, member)]
      .flatMap(each => this.from(each, address))
      .find(({ subject }) => subject.id.equals(id))
  }

  /** Nothing for what can't be gone on with: its client meets a host that does not know it. */
  from(
    { checkpoint: bytes, toldAt, acked, standing }: LeftConnection,
    address: string,
    isMoved = false,
  ): Bequest<Left>[] {
    try {
      const checkpoint = decodeCheckpoint(bytes)
      const { id, kernel, owed, at, readPosition, transport } = checkpoint
      const [local, remote] = [ipv4(checkpoint.local), ipv4(checkpoint.remote)]
      wipe(transport)
      if (local.address !== address) return []
      const { tcp, readAt } = decodeKernel(kernel)
      const owedUntil = owed?.response && endOf(owed.response.planned)
      const told = { local, remote, tcp, acked, readPosition, owedUntil }
      const known = { ...told, isExact: isMoved }
      const subject = { id, checkpoint: bytes, standing }
      return [{ known: { ...known, toldAt: toldAt - (at - readAt) }, subject }]
    } catch {
      this.#parts.onReset('lost')
      return []
    }
  }
}

function loose(left: LeftConnection): LeftConnection {
  return left.standing === 'exact' ? { ...left, standing: 'loose' } : left
}

function ipv4({ address, port }: Endpoint): Endpoint {
  return { address: withoutMapping(address), port }
}
