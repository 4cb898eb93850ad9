import type { Drains } from '../dispatch/drains.ts'
import type { AbsentMember, Member } from '../farm/transport.ts'
import type {
  ListedRevocation,
  RevocationOutcome,
  RevokeOptions,
} from '../resumption/revocation/revocation.ts'
import type { RevocationTarget } from '../resumption/revocation/revocation-target.ts'
import { textOf } from './section/exposition.ts'
import { type Known, memberFamilies, whoIs } from './section/members.ts'
import type { Sections, Told } from './section/section.ts'

/** What is told of and worked on here: a member of a farm. */
export interface Administered extends Known {
  /** Of the farm. */
  readonly name: string
  readonly sections: Sections
  /** The sections, of all processes of this host. */
  hostStats(): Promise<object>
  /** Backends that are drained. */
  readonly drains: Drains
  revocations(): ListedRevocation[]
  revoke(target: RevocationTarget, how?: RevokeOptions): Promise<RevocationOutcome>
}

/** As `GET /status` has it: with a key for each section. */
export interface Status {
  readonly farm: string
  readonly members: readonly Member[]
  readonly absent: readonly AbsentMember[]
}

export async function statusOf(farm: Administered): Promise<Status & Told> {
  const told = (await farm.hostStats()) as Told
  return { farm: farm.name, ...whoIs(farm), ...told } as unknown as Status & Told
}

/** The same in the text format of Prometheus. */
export async function metricsOf(farm: Administered): Promise<string> {
  const told = (await farm.hostStats()) as Told
  return textOf([...memberFamilies(whoIs(farm)), ...farm.sections.families(told)])
}
