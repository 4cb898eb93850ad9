import type { Identities } from '../certificates/identity.ts'

/** How a session travels: what the client sees, and where its state lies. */
export const modes = ['1.2-id', '1.2-ticket', '1.3-stateful', '1.3-stateless'] as const
export type Mode = (typeof modes)[number]

/** Something that serves HTTPS and may resume: handfast, or what people use instead. */
export interface System {
  readonly name: string
  /** One line for people. */
  readonly about: string
  readonly modes: readonly Mode[]
  /** Members know nothing of each other: a session resumes where it was made, only. */
  readonly alone?: true
  /** Its every resumption must succeed, or the benchmark fails. */
  readonly mustResume: boolean
  /** Why it can't be measured here; undefined when it can. */
  missing(): string | undefined
  start(options: StartOptions): Promise<RunningSystem>
}

export interface StartOptions {
  readonly identities: Identities
  /** How many proxies. */
  readonly members: number
  /** A folder of its own, for configuration and sockets. */
  readonly folder: string
}

export interface RunningSystem {
  /** Of each member, on 127.0.0.1. */
  readonly ports: readonly number[]
  /** What it was started with, for --show-config. */
  readonly configs: readonly { readonly name: string; readonly text: string }[]
  /**
   * Processor time in milliseconds that all its processes have used, its store's too.
   * Undefined where the machine can't tell.
   */
  cpu(): number | undefined | Promise<number | undefined>
  close(): Promise<void>
}
