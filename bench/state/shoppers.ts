import { Agent, get } from 'node:http'

/** Of so many requests one changes its session. */
const changeEach = 10

/** Clients with a session each, over kept-alive connections. */
export class Shoppers {
  readonly #port: number
  readonly #agent: Agent
  /** Of those who have no request under way. */
  readonly #jars: Map<string, string>[]
  #asked = 0

  constructor(port: number, clients: number, connections: number) {
    this.#port = port
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections })
    this.#jars = Array.from({ length: clients }, () => new Map())
  }

  /** Gives each a session. */
  async open(): Promise<void> {
    for (const jar of this.#jars) await this.#ask(jar, '/add', 'added')
  }

  /** Resolves when all are answered; each has to be known. */
  async shop(requests: number, atOnce: number): Promise<void> {
    let left = requests
    const one = async () => {
      while (left > 0) {
        left -= 1
        this.#asked += 1
        const jar = this.#jars.shift() as Map<string, string>
        if (this.#asked % changeEach === 0) await this.#ask(jar, '/add', 'added')
        else await this.#ask(jar, '/', 'known')
        this.#jars.push(jar)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, one))
  }

  close(): void {
    this.#agent.destroy()
  }

  #ask(jar: Map<string, string>, path: string, expected: string): Promise<void> {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const options = { host: '127.0.0.1', port: this.#port, path, agent: this.#agent }
    return new Promise((resolve, reject) => {
      get({ ...options, headers: { cookie } }, response => {
        for (const line of response.headers['set-cookie'] ?? []) {
          const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
          jar.set(name, value)
        }
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part
        })
        response.on('end', () => {
          if (text === expected) resolve()
          else reject(new Error(`${path} answered ${text.slice(0, 100)}`))
        })
      }).on('error', reject)
    })
  }
}
