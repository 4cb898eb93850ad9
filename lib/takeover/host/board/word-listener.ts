/** Hears of what other members tell of their connections, by owner and place, hexadecimal. */
export interface WordListener {
  /** Something stands there, or another thing than before. */
  changed(owner: string, about: string): void
  /** Nothing does any more. */
  over(owner: string, about: string): void
}
