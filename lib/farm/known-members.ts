import type { ControlChannel } from './channel/control-channel.ts'
import type { PacketEngine } from './engine/engine.ts'
import type { AbsentMember, Member } from './transport.ts'

export interface KnownMembersParts {
  /** The id of this member. */
  readonly self: string
  /** This member is one. */
  readonly repository: boolean
  readonly channel: ControlChannel
  /** Records go in datagrams beside the channel: then it is the engine that knows who is there. */
  readonly datagrams: boolean
}

/** This member, and all others that have been met. */
export function knownMembers(engine: PacketEngine, parts: KnownMembersParts): Member[] {
  const { channel } = parts
  const self: Member = {
    id: parts.self,
    incarnation: engine.tag,
    address: channel.address,
    state: engine.ready ? 'ready' : 'joining',
    self: true,
    repository: parts.repository,
  }
  const links = (channel.members?.() ?? []).map(member => ({
    ...member,
    repository: engine.roster.get(member.id)?.repository === true,
  }))
  if (!parts.datagrams) return [self, ...links]
  const others = [...engine.roster.all()].map((peer): Member => {
    const presence = engine.roster.membership.state(peer.id)
    const here = peer.ready ? 'ready' : 'joining'
    return {
      id: peer.id,
      incarnation: peer.sender,
      address: peer.dialAddress,
      state: presence === 'alive' ? here : presence,
      self: false,
      repository: peer.repository,
    }
  })
  return [self, ...others, ...links.filter(({ state }) => state === 'refused')]
}

/** Those that are silent, or can't be reached at all. `now` in the clock's milliseconds. */
export function absentMembers(
  engine: PacketEngine | undefined,
  { channel, datagrams }: KnownMembersParts,
  now: number,
): AbsentMember[] {
  const absent = channel.absent?.() ?? []
  if (engine === undefined || !datagrams) return absent
  const { roster } = engine
  // The stream may stand yet, and the other be silent; or datagrams pass where none does.
  const silent = [...roster.all()].filter(
    ({ id }) => roster.membership.state(id) !== 'alive',
  )
  const reached = new Set(roster.serving().map(({ id }) => id))
  const told = silent.map(({ id, dialAddress }): AbsentMember => {
    const away = Math.round(now - roster.membership.heardAt(id))
    return { id, address: dialAddress, away }
  })
  const ids = new Set(told.map(({ id }) => id))
  return [
    ...told,
    ...absent.filter(({ id }) => id === undefined || !(ids.has(id) || reached.has(id))),
  ]
}
