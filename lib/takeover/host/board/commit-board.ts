import type { Clock } from '../../../clock.ts'
import { CommitShelf, type KeptWord } from '../../commit/commit-shelf.ts'
import {
  type CommitPresence,
  type CommitReceipt,
  type CommitWord,
  decodeReceipt,
  decodeWord,
  encodeReceipt,
  encodeWord,
  type Life,
  readPresence,
} from '../../commit/commit-word.ts'
import type { LeftConnection } from './board.ts'
import {
  type ConnectionTable,
  kind,
  ownerOf,
  shortly,
  type TableWord,
} from './connection-table.ts'
import { readProgress } from './progress.ts'
import type { WordListener } from './word-listener.ts'

/**
 * Milliseconds for which a word stays; it is said again before that. What says that all is over
 * stays twice as long, and so outlives every word before it, in whatever cache that may be.
 */
export const wordLife = 180_000

export interface CommitListener {
  onPresence(presence: CommitPresence): void
  /** Of this member's own words. */
  onReceipt(receipt: CommitReceipt): void
  readonly words?: WordListener | undefined
}

/** What members write down of connections whose clients hear nothing that others do not know. */
export class CommitBoard {
  readonly #table: ConnectionTable
  readonly #shelf: CommitShelf
  readonly #words: WordListener | undefined
  #owesReceipts = false

  constructor(table: ConnectionTable, clock: Clock, listener: CommitListener) {
    this.#table = table
    this.#shelf = new CommitShelf(clock)
    this.#words = listener.words
    table.watch(word => {
      if (word.kind === kind.word) this.#onWord(word)
      else if (word.kind === kind.progress) this.#onProgress(word)
      else if (word.kind === kind.receipt && word.about.equals(table.self)) {
        const receipt = decodeReceipt(table.open(word.key, word.sealed))
        if (receipt !== undefined) listener.onReceipt(receipt)
      } else if (word.kind === kind.presence) {
        const presence = readPresence(table.open(word.key, word.sealed))
        const isOwn = presence && ownerOf(presence.member) === word.owner
        if (presence !== undefined && isOwn) listener.onPresence(presence)
      }
    })
  }

  /** Of this member: a word that names it is one for it. */
  get life(): Life {
    return this.#shelf.life
  }

  /** What came before is not counted on any more. */
  renewLife(): void {
    this.#shelf.renew()
  }

  present(presence: Omit<CommitPresence, 'life'>): void {
    const bytes = Buffer.from(JSON.stringify({ ...presence, life: this.life }))
    this.#table.write(kind.presence, undefined, bytes, shortly)
  }

  /** `key`: of the connection or bundle. */
  say(key: Buffer, word: CommitWord): void {
    const ttl = word.entries.length === 0 ? 2 * wordLife : wordLife
    this.#table.write(kind.word, key, encodeWord(word), ttl)
  }

  /** What is known of the connections that a member has in a life; nothing is exact without one. */
  of(member: string, life: Life | undefined): LeftConnection[] {
    return this.#shelf.of(ownerOf(member)).flatMap(kept => this.#read(kept, life))
  }

  /** What stands at a place, by the names of a WordListener. */
  at(owner: string, about: string, life: Life | undefined): LeftConnection[] {
    const kept = this.#shelf.at(owner, about)
    return kept === undefined ? [] : this.#read(kept, life)
  }

  forget(member: string): void {
    this.#shelf.forget(ownerOf(member))
  }

  #read(kept: KeptWord, life: Life | undefined): LeftConnection[] {
    const word = decodeWord(this.#table.open(kept.name, kept.sealed))
    if (word === undefined || word.life !== (life ?? word.life)) return []
    const isNamed = life !== undefined && word.names.includes(this.life)
    return word.entries.map(({ id, standing, acked, checkpoint }) => ({
      checkpoint,
      toldAt: kept.toldAt,
      acked: Math.max(acked, kept.acked.get(id.toString('hex')) ?? 0),
      standing: standing === 'exact' && !isNamed ? 'loose' : standing,
    }))
  }

  #onWord({ owner, about, key, sealed, expiresAt }: TableWord): void {
    const word = decodeWord(this.#table.open(key, sealed))
    if (word === undefined) return
    const copies = { name: Buffer.from(key), sealed: Buffer.from(sealed) }
    const place = about.toString('hex')
    this.#shelf.put(owner, place, word, { ...copies, expiresAt })
    if (word.entries.length === 0) this.#words?.over(owner, place)
    else this.#words?.changed(owner, place)
    if (this.#owesReceipts) return
    this.#owesReceipts = true
    // One for all that came together.
    setImmediate(() => this.#sendReceipts())
  }

  #onProgress({ owner, key, sealed }: TableWord): void {
    for (const { id, acked } of readProgress(this.#table.open(key, sealed))) {
      this.#shelf.progress(owner, id, acked)
    }
  }

  #sendReceipts(): void {
    this.#owesReceipts = false
    for (const { owner, receipt } of this.#shelf.receipts()) {
      const to = Buffer.from(owner, 'hex')
      this.#table.write(kind.receipt, to, encodeReceipt(receipt), shortly)
    }
  }
}
