import { execFile } from 'node:child_process'

/** Sees to it that a member says nothing more to any client; see docs. */
export interface Fencer {
  /** True: it is sure. Never rejects, and takes its time limit at most. `address`: its own. */
  fence(member: string, address: string): Promise<boolean>
}

/** Bytes of what a command may say; it is not looked at. */
const mostOutput = 65_536

/**
 * The operator's command: the switch's port, the hypervisor, the power. It is called with the name
 * of the member and that one's own address behind its arguments, and 0 is what it answers when the
 * member is silent.
 */
export class CommandFencer implements Fencer {
  readonly #command: readonly string[]
  readonly #timeout: number

  /** `command`: a program and its arguments. `timeout`: ms, then it has failed. */
  constructor(command: readonly string[], timeout: number) {
    this.#command = command
    this.#timeout = timeout
  }

  fence(member: string, address: string): Promise<boolean> {
    const [program = '', ...args] = this.#command
    const options = {
      timeout: this.#timeout,
      killSignal: 'SIGKILL',
      maxBuffer: mostOutput,
    } as const
    return new Promise<boolean>(resolve => {
      execFile(program, [...args, member, address], options, error =>
        resolve(error === null),
      )
    }).catch(() => false)
  }
}
