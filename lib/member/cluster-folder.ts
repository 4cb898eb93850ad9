import cluster from 'node:cluster'
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readlinkSync, rmdirSync, unlinkSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { farmKey, parseSecret } from '../farm/secret.ts'
import { HostSocket } from '../repository/host-socket.ts'
import { isAlive } from '../repository/process.ts'
import type { FarmOptions } from './options.ts'

/** What tells the processes that are to meet from all others; replaced in tests. */
export interface ClusterPlace {
  readonly uid: number
  /** Of the primary, which tells one cluster from another. */
  readonly pid: number
  /** One primary may run several applications: pm2's runs all of a user. */
  readonly application: readonly unknown[]
  /** Folders that may hold ours, the best first. */
  readonly bases: readonly string[]
}

/** Undefined where no process is told from another by a primary and a user. */
export function clusterPlace(): ClusterPlace | undefined {
  const uid = process.getuid?.()
  if (!cluster.isWorker || uid === undefined) return undefined
  const { env } = process
  // pm2 gives its own program to node:cluster, and writes the application's over it here.
  const pm2Name = env['pm_id'] === undefined ? undefined : env['name']
  const runtime = env['XDG_RUNTIME_DIR'] ?? ''
  // The last may be a disk; a system whose disks are read-only has one of the others.
  const bases = [runtime, process.platform === 'linux' ? '/dev/shm' : '', tmpdir()]
  return {
    uid,
    pid: process.ppid,
    application: [process.argv[1], pm2Name],
    bases: bases.filter(base => base !== ''),
  }
}

/** Where the workers of a cluster meet. */
export interface ClusterMeeting {
  readonly socket: HostSocket
  /** The farm's, or where it has none one that they share. */
  readonly secret: string | Buffer
}

/** Throws what keeps them from meeting, in the last base. */
export function clusterMeeting(
  { name = 'handfast', listen, secret }: FarmOptions,
  { uid, pid, application, bases }: ClusterPlace,
): ClusterMeeting {
  // Farms of other secrets have nothing to say to each other.
  const of = secret === undefined ? '' : farmKey(parseSecret(secret), name, 'host folder')
  const farm = digest([name, listen, of.toString('hex'), application]).slice(0, 12)
  const ours = `handfast-${uid}-${digest(processesSeen()).slice(0, 8)}-`
  // Short: a socket's path has room for a hundred characters.
  const folderIn = (base: string) => join(base, `${ours}${pid}-${farm}`)
  // Where others meet already, though there may be room in a better place by now.
  const isUsed = (base: string) => hasEntries(folderIn(base))
  let failure: unknown
  for (const base of [...bases.filter(isUsed), ...bases]) {
    const folder = folderIn(base)
    try {
      removeDead(base, ours, uid)
      const socket = new HostSocket(folder)
      return { socket, secret: secret ?? socket.key() }
    } catch (error) {
      failure = error
      removeEmpty(folder)
    }
  }
  throw failure
}

/** Whoever meets in a folder has left something in it. */
function hasEntries(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0
  } catch {
    return false
  }
}

/** One that a base has room for, and not for what is to be in it: nobody is to meet there. */
function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // It was not made, or there is something in it.
  }
}

/** Another container may see the folders, and not the processes, even under the same name. */
function processesSeen(): readonly string[] {
  try {
    return [hostname(), readlinkSync('/proc/self/ns/pid')]
  } catch {
    return [hostname()]
  }
}

/**
 * Removes the folders of clusters that are over. Anybody may make one of such a name: what is in
 * a folder that others can write to may turn into something else at any time, so it is left
 * alone, and only plain entries of our own are taken away.
 */
function removeDead(base: string, ours: string, uid: number): void {
  for (const name of readdirSync(base)) {
    const pid = name.startsWith(ours) ? Number.parseInt(name.slice(ours.length), 10) : 0
    if (!(pid > 0) || isAlive(pid)) continue
    const folder = join(base, name)
    try {
      const seen = lstatSync(folder)
      if (!seen.isDirectory() || seen.uid !== uid || (seen.mode & 0o077) !== 0) continue
      for (const entry of readdirSync(folder)) unlinkSync(join(folder, entry))
      rmdirSync(folder)
    } catch {
      // Another removes it as well, or it is not as we make them.
    }
  }
}

function digest(of: unknown): string {
  return createHash('sha256').update(JSON.stringify(of)).digest('hex')
}
