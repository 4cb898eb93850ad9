import { createHash } from 'node:crypto'
import { longestCheckpoint } from './checkpoint.ts'
import { idLength } from './id.ts'

/** Connections of one bundle at most; more of the same client go alone. */
export const mostBundled = 8

/** What a bundle asks of its connections. */
export interface Bundled {
  /** Bytes of the last checkpoint of it. */
  readonly size: number
}

/**
 * Connections of one client that belong together: those of one TLS lineage, which resumed from
 * each other's sessions (row C3). They go to the same place when their process, or host, is gone.
 */
export class Bundle<Member extends Bundled> {
  /** The same in all processes that have connections of this lineage. */
  readonly id: Buffer
  readonly #members = new Set<Member>()

  constructor(id: Buffer) {
    this.id = id
  }

  /** The open ones. */
  get members(): ReadonlySet<Member> {
    return this.#members
  }

  /** Bytes that a checkpoint of this one may have, so that there is room for all in one record. */
  roomFor(member: Member): number {
    let room = longestCheckpoint
    for (const other of this.#members) if (other !== member) room -= other.size
    return room
  }

  add(member: Member): void {
    this.#members.add(member)
  }

  remove(member: Member): void {
    this.#members.delete(member)
  }
}

/** The bundles of this process. */
export class Bundles<Member extends Bundled> {
  readonly #open = new Map<string, Bundle<Member>>()

  /**
   * The bundle of a lineage, as long as there is room in it. Undefined: the connection goes alone.
   * So does one without a lineage, of plain HTTP: behind one address there may be many clients.
   */
  of(lineage: Buffer | undefined): Bundle<Member> | undefined {
    if (lineage === undefined) return undefined
    const id = idOf(lineage)
    const bundle = this.#open.get(id.toString('hex')) ?? new Bundle<Member>(id)
    return bundle.members.size < mostBundled ? bundle : undefined
  }

  add(bundle: Bundle<Member>, member: Member): void {
    bundle.add(member)
    this.#open.set(bundle.id.toString('hex'), bundle)
  }

  remove(bundle: Bundle<Member>, member: Member): void {
    bundle.remove(member)
    if (bundle.members.size === 0) this.#open.delete(bundle.id.toString('hex'))
  }
}

/** The bundle with which a connection shares its record; undefined: that is its own. */
export function recordBundle<Kept>(
  keeper: { readonly keepsBundles?: boolean | undefined },
  { bundle }: { readonly bundle: Kept | undefined },
): Kept | undefined {
  return keeper.keepsBundles ? bundle : undefined
}

/** A lineage may be the id of a session, which resumes it: it stands nowhere in clear. */
function idOf(lineage: Buffer): Buffer {
  const hash = createHash('sha256').update('handfast bundle').update(lineage)
  return hash.digest().subarray(0, idLength)
}
