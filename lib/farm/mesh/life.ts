/** One life of a member: its name, and a number that is another at each start. */
export interface Life {
  readonly id: string
  readonly incarnation: number
}

export function lifeName({ id, incarnation }: Life): string {
  return `${id}/${incarnation}`
}
