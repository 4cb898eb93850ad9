export const priorities = ['high', 'normal', 'low'] as const
export type Priority = (typeof priorities)[number]

/** How a request that has to wait for a backend stands beside the others that wait. */
export interface Urgency {
  /** One of a higher priority goes first. Nothing waits for ever: see `WaitLine`. */
  readonly priority: Priority
  /** Among those of one priority: one of weight 2 has two turns for each turn of one of 1. */
  readonly weight: number
  /** Requests of the same name, priority and weight have their turns together. */
  readonly name: string
}

export const usualUrgency: Urgency = { priority: 'normal', weight: 1, name: '' }
