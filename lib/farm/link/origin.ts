/** One life of a member: its name, and a number that is another at each start. */
export interface Origin {
  readonly id: string
  readonly incarnation: number
}

export function originName({ id, incarnation }: Origin): string {
  return `${id}/${incarnation}`
}
