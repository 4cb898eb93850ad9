import type { Drains } from '../dispatch/drains.ts'
import type { AbsentMember, Member } from '../farm/transport.ts'
import type {
  ListedRevocation,
  RevocationOutcome,
  RevokeOptions,
} from '../resumption/revocation/revocation.ts'
import type { RevocationTarget } from '../resumption/revocation/revocation-target.ts'
import type { FarmFigures, FarmWide, WideFigures } from './farm-wide.ts'
import { textOf } from './section/exposition.ts'
import { type Family, gauge } from './section/family.ts'
import { type Known, memberFamilies, whoIs } from './section/members.ts'
import type { Sections, Told } from './section/section.ts'

/** What is told of and worked on here: a member of a farm. */
export interface Administered extends Known {
  /** Of the farm. */
  readonly name: string
  readonly sections: Sections
  readonly wide: FarmWide
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
  readonly farmWide: FarmFigures
}

export async function statusOf(farm: Administered): Promise<Status & Told> {
  farm.wide.start()
  const told = (await farm.hostStats()) as Told
  const farmWide = farm.wide.read()
  return { farm: farm.name, ...whoIs(farm), ...told, farmWide } as unknown as Status &
    Told
}

/** The same in the text format of Prometheus. */
export async function metricsOf(farm: Administered): Promise<string> {
  farm.wide.start()
  const told = (await farm.hostStats()) as Told
  return textOf([
    ...memberFamilies(whoIs(farm)),
    ...farm.sections.families(told),
    ...wideFamilies(farm.wide.read()),
  ])
}

function wideFamilies({ members, sum }: FarmFigures): Family[] {
  return [
    gauge('handfast_farm_members_told', 'Members whose figures are in the sum', [
      { value: members.length },
    ]),
    gauge(
      'handfast_farm',
      'Sum over the members, as each told it last; it falls when one goes or starts anew',
      flat(sum).map(([figure, value]) => ({ labels: { figure }, value })),
    ),
  ]
}

function flat(figures: WideFigures, before = ''): [string, number][] {
  return Object.entries(figures).flatMap(([name, figure]): [string, number][] =>
    typeof figure === 'number'
      ? [[`${before}${name}`, figure]]
      : flat(figure, before === '' && name === 'causes' ? '' : `${before}${name}.`),
  )
}
