import { execFileSync, spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Of the switch: where the backend of the hosts is. */
export const switchAddress = '10.77.0.254'

/** Why there can be no networks of one's own here, which need no privilege; undefined: there can. */
export function whyNoNetworks(): string | undefined {
  const probe = spawnSync('unshare', [
    ...apart,
    'ip',
    'link',
    'add',
    'probe0',
    'type',
    'bridge',
  ])
  if (probe.status === 0) return undefined
  return probe.error?.message ?? (probe.stderr.toString().trim() || 'not permitted')
}

/** Of `unshare`: users, networks and mounts of one's own. */
export const apart = ['-Urnm'] as const

/** Runs a command of the system; throws when it fails. */
export function run(command: string): string {
  const [name = '', ...args] = command.split(' ')
  return execFileSync(name, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Once, in a network of one's own. */
export function makeSwitch(): void {
  run('ip link set lo up')
  // Of its own: a bridge else takes the lowest of its ports, and changes it when that one goes, of
  // which hosts hear only when their caches of ARP have grown old.
  run('ip link add br0 address 02:00:00:00:00:fe type bridge mcast_snooping 0')
  run(`ip addr add ${switchAddress}/24 dev br0`)
  run('ip link set br0 up')
}

/** From the switch to a host, which is a process in a network of its own. */
export class Cable {
  readonly address: string
  /** The host's end of it. */
  readonly name: string
  /** The switch's. */
  readonly port: string

  constructor(number: number) {
    this.address = `10.77.0.${number}`
    this.name = `v${number}`
    this.port = `p${number}`
  }

  /** Plugs it in, once `unshare -n` has made the network. */
  async plug(pid: number): Promise<void> {
    const network = (of: number | 'self') => readlinkSync(`/proc/${of}/ns/net`)
    while (network(pid) === network('self')) await sleep(5)
    const inside = `nsenter -t ${pid} -n`
    run(`ip link add ${this.name} type veth peer name ${this.port}`)
    run(`ip link set ${this.port} master br0 up`)
    run(`ip link set ${this.name} netns ${pid}`)
    run(`${inside} ip addr add ${this.address}/24 dev ${this.name}`)
    run(`${inside} ip link set lo up`)
    run(`${inside} ip link set ${this.name} up`)
  }

  /** The command that pulls it, for those in other networks too. */
  get pulling(): string {
    return `nsenter -t ${process.pid} -n ip link set ${this.port} down`
  }

  pull(): void {
    run(this.pulling)
  }
}
