import type { Socket } from 'node:net'
import type { HostTakeoverState } from '../admin/section/takeover.ts'
import type { Log } from '../log.ts'
import type { Farm } from '../member/farm.ts'
import type { RunningProxy } from '../proxy/options.ts'
import { encodeKernel } from '../takeover/host/board/kernel-codec.ts'
import { CommandFencer } from '../takeover/host/election/fencer.ts'
import { HostTakeover } from '../takeover/host/host-takeover.ts'
import {
  type HostTakeoverSettings,
  resolveHostTakeover,
} from '../takeover/host/options.ts'
import type { Watchdog } from '../takeover/host/watchdog.ts'
import { detectNative, type NativeSupport } from '../takeover/native/detect.ts'
import type { InterfaceAddresses } from '../takeover/native/interface-addresses.ts'
import { sequenceAt } from '../takeover/native/sequence.ts'
import type { ProtectionOptions } from '../takeover/protection-options.ts'
import { TakeoverCounters } from '../takeover/takeover-counters.ts'
import { WatchdogProcess, type WatchdogProgram } from './process/watchdog.ts'

/** The takeover of hosts, where it is wished and can be. */
export interface HostMember {
  read(): HostTakeoverState
  /** Undefined where connections stay on this host. */
  readonly protection: ProtectionOptions | undefined
  /** Whatever is taken over from now on goes to this proxy. */
  start(proxy: RunningProxy): void
  /** Gives all to others; see HostTakeover. */
  leave(patience: number): Promise<void>
  close(): void | Promise<void>
}

/** Of a process that is to move its connections, and has nobody to take them. */
export const nothingMoves =
  'without takeover between hosts nothing can be moved: what is under way is finished here'

const without = (state: string, log: Log): HostMember => ({
  read: () => ({
    state,
    shared: false,
    addresses: [],
    commits: {},
    strays: {},
    grants: {},
  }),
  protection: undefined,
  start() {},
  async leave() {
    log.warn({}, nothingMoves)
  },
  close() {},
})

/** Never throws for what a host lacks: it serves without, and says why. */
export async function hostMember(
  settings: HostTakeoverSettings | undefined,
  farm: Pick<Farm, 'takeoverRoom'>,
  log: Log,
  detect: () => Promise<NativeSupport> = detectNative,
  program?: WatchdogProgram,
): Promise<HostMember> {
  if (settings === undefined) return without('off', log)
  const { sockets, packets, addresses, strays, missing } = await detect()
  const room = farm.takeoverRoom()
  const lack = missing ?? (settings.shared ? await strays?.missing() : undefined)
  if (!sockets || !packets || !addresses || !room || lack) {
    const reason = lack?.text ?? 'it needs a farm with a secret'
    log.warn({ reason }, 'no takeover of hosts: connections end with their host')
    return without(reason, log)
  }
  const { heartbeat, timeout, fenceTimeout, commitTimeout } =
    resolveHostTakeover(settings)
  const watchdog = program && new WatchdogProcess(program, log)
  const counters = new TakeoverCounters()
  let proxy: RunningProxy | undefined
  const takeover = new HostTakeover(
    {
      address: settings.address,
      interface: settings.interface,
      shared: settings.shared ? { host: settings.host ?? '' } : undefined,
      times: { interval: heartbeat, timeout },
      fencer: new CommandFencer(settings.fence, fenceTimeout),
      commit: settings.commit === 'before-response' ? commitTimeout : undefined,
      bundles: settings.bundles,
    },
    {
      ...room,
      log,
      sockets,
      packets,
      strays,
      ports: () => (proxy === undefined ? [] : [proxy.port]),
      addresses: watchdog ? watched(addresses, watchdog.watchdog) : addresses,
      adopt: (socket: Socket, checkpoint, place) => {
        if (proxy === undefined) socket.resetAndDestroy()
        else proxy.inherit(socket, checkpoint, place)
      },
      holding: address => proxy?.holding(address),
      movable: () => proxy?.movable() ?? [],
      holdingOf: connection => proxy?.holdingOf(connection),
      onReset: cause => counters.count(cause),
      onLost: address => proxy?.silence(address),
    },
  )
  return {
    read: () => ({
      state: 'on',
      shared: settings.shared ?? false,
      addresses: takeover.holds,
      commits: takeover.commits,
      ...takeover.counts,
      ...(watchdog && { watched: watchdog.watchdog.size }),
    }),
    protection: {
      keeper: takeover.keeper,
      native: sockets,
      watch: socket => watchdog?.watchdog.watch(socket),
      counters,
      kernelOf: (fd, { position, readPosition }) => {
        const tcp = sockets.parameters(fd)
        return encodeKernel({
          tcp: {
            ...tcp,
            sendStart: sequenceAt(tcp.sendStart, -position),
            receiveStart: sequenceAt(tcp.receiveStart, -readPosition),
          },
          readAt: room.clock.now(),
        })
      },
    },
    start(running) {
      proxy = running
      takeover.start()
    },
    leave: patience => takeover.leave(patience),
    async close() {
      await takeover.close()
      await watchdog?.close()
    },
  }
}

/** What is here is told to the watchdog. */
function watched(addresses: InterfaceAddresses, watchdog: Watchdog): InterfaceAddresses {
  const here = new Set<string>()
  return {
    add(name, address) {
      addresses.add(name, address)
      watchdog.addresses(name, [...here.add(address)])
    },
    remove(name, address) {
      addresses.remove(name, address)
      here.delete(address)
      watchdog.addresses(name, [...here])
    },
  }
}
