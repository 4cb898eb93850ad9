import t, { type Test } from 'tap'
import { seededRandom, testSeed } from '../fixtures/random.ts'
import {
  CommitWorld,
  patience,
  type WorldMember,
} from '../fixtures/takeover/commit-world.ts'

const seed = testSeed()
t.comment(`SEED=${seed}`)

/** What a member that may count on it could say otherwise of what has been said. */
function conflicts(owner: WorldMember, heir: WorldMember): string[] {
  if (heir.isDead) return []
  return heir.leftBy(owner).flatMap(left => {
    if (left.standing !== 'exact') return []
    return owner.connections.flatMap(each =>
      isOf(each.id, left.checkpoint) ? each.conflictsWith(left) : [],
    )
  })
}

function isOf(id: string, checkpoint: Buffer): boolean {
  return checkpoint.includes(Buffer.from(id, 'hex'))
}

t.test('no number is ever used for two texts, whoever goes on with it', async t => {
  await play(t, false, 5)
})

t.test('nor of a bundle, all of which others have as of one moment', async t => {
  await play(t, true, 3)
})

async function play(t: Test, keepsBundles: boolean, runs: number): Promise<void> {
  const lineage = keepsBundles ? Buffer.from('one client') : undefined
  let [exact, answers, refused, several] = [0, 0, 0, 0]
  for (let run = 0; run < runs; run++) {
    const random = seededRandom(seed + run)
    const chance = (of: number) => random() < of
    const pick = <T>(all: readonly T[]) => all[Math.floor(random() * all.length)] as T
    const world = new CommitWorld(keepsBundles)
    const owner = world.join('a')
    for (const name of ['b', 'c']) world.join(name)
    await world.settle()
    let names = 3
    const others = () => world.members.filter(each => each !== owner && !each.isDead)
    for (let step = 0; step < 250; step++) {
      const open = owner.connections.filter(each => each.isOpen)
      const idle = open.filter(each => !each.isBusy)
      const links = world.members.flatMap(each => [...each.links.values()])
      if (open.length < 3) owner.open(lineage)
      else if (chance(0.5) && idle.length > 0) {
        const one = pick(idle)
        if (chance(0.5)) one.get(1 + Math.floor(random() * 60_000))
        else if (chance(0.8)) one.post(1 + Math.floor(random() * 60_000))
        else if (chance(0.4)) one.keyUpdate()
        else one.connection.end()
      } else if (chance(0.08)) pick(links).isCut = chance(0.5)
      else if (chance(0.02) && others().length > 1) {
        // One is silent, and somebody sees to it that it stays so.
        const gone = pick(others())
        gone.isDead = true
        owner.hears.delete(gone.name)
        pick([owner, ...others()]).commit.fenced(gone.name)
      } else if (chance(0.03)) world.join(`m${names++}`)
      else if (chance(0.05)) pick(others()).syncs(pick(others()))
      else if (chance(0.025)) pick(others()).commit.distrust()
      else if (chance(0.02)) {
        const leaving = pick(others())
        if (others().length > 1) {
          leaving.commit.close()
          leaving.isDead = true
        }
      }
      for (const link of links) {
        while (link.waiting.length > 0 && chance(0.8)) {
          const before = link.waiting.length
          link.deliver(Math.floor(random() * before))
          if (link.waiting.length === before) break
        }
      }
      if (chance(0.3)) await new Promise<void>(resolve => setImmediate(resolve))
      world.clock.advance(Math.floor(random() * (chance(0.05) ? 2 * patience : 60)))
      await new Promise<void>(resolve => setImmediate(resolve))
      for (const heir of others()) {
        const found = conflicts(owner, heir)
        const left = heir.leftBy(owner)
        exact += left.filter(({ standing }) => standing === 'exact').length
        if (left.length > 1) several += 1
        // Nothing at all it may have lost, too.
        if (keepsBundles && left.length > 0 && !owner.sayings.wasSo(left)) {
          t.fail(`run ${run}, step ${step}, ${heir.name}: of several moments`)
          return
        }
        if (found.length > 0) {
          t.fail(`run ${run}, step ${step}, ${heir.name}: ${found.join('; ')}`)
          return
        }
      }
    }
    answers += owner.connections.reduce((sum, each) => sum + each.answers, 0)
    refused += owner.commit.counts.refused
  }
  const looks = `${exact} looks at exact words, ${several} at several`
  t.comment(`${answers} answers, ${looks}, ${refused} refused`)
  t.ok(answers > 100 && exact > 100 && several > 100)
}

t.test(
  'what one has said that was fenced counts for all who take a part of it over',
  async t => {
    const world = new CommitWorld()
    const [a, b, c] = ['a', 'b', 'c'].map(name => world.join(name)) as [
      WorldMember,
      WorldMember,
      WorldMember,
    ]
    await world.settle()
    a.open().get(50_000)
    await world.settle()
    a.isDead = true
    const standings = (heir: WorldMember) =>
      heir.leftBy(a).map(({ standing }) => standing)
    b.commit.fenced('a')
    t.strictSame(standings(b), ['exact'], 'its next address')
    await world.settle()
    t.strictSame(standings(c), ['exact'], 'an address that another one takes')
    c.commit.distrust()
    t.strictSame(standings(c), ['loose'], 'but not for one that was cut off meanwhile')
    b.commit.forget('a')
    t.strictSame(standings(b), [])
  },
)

t.test(
  'what one has said that took its leave does not count as its last word',
  async t => {
    const world = new CommitWorld()
    const [a, b] = ['a', 'b'].map(name => world.join(name)) as [WorldMember, WorldMember]
    await world.settle()
    a.open().get(50_000)
    await world.settle()
    a.commit.close()
    await world.settle()
    t.notOk(b.leftBy(a).some(({ standing }) => standing === 'exact'))
  },
)
