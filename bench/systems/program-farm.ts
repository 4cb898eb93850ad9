import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts } from '../harness/child.ts'
import { cpuOfAll, Foreground } from './foreground.ts'
import type { Store } from './store.ts'
import type { RunningSystem, StartOptions } from './system.ts'
import { keyFiles, type TlsFiles } from './tls-files.ts'

/** How to run one proxy of a farm of some program. */
export interface ProgramFarm {
  readonly command: string
  readonly configName: string
  config(member: MemberFiles): string
  args(configFile: string, folder: string): readonly string[]
  /** Files that all members share: ticket keys. */
  readonly shared?: Readonly<Record<string, string | Buffer>> | undefined
  readonly store?: Store | undefined
}

export interface MemberFiles extends TlsFiles {
  readonly port: number
  readonly index: number
  readonly folder: string
}

/** Starts as many proxies as the farm has members, each with a configuration of its own. */
export async function startProgramFarm(
  { identities, members, folder }: StartOptions,
  farm: ProgramFarm,
): Promise<RunningSystem> {
  const files = await keyFiles(identities, folder)
  for (const [name, content] of Object.entries(farm.shared ?? {})) {
    await writeFile(join(folder, name), content, { mode: 0o600 })
  }
  const programs: Foreground[] = []
  const configs = farm.store === undefined ? [] : [farm.store.config]
  const close = async (): Promise<void> => {
    await Promise.all(programs.map(program => program.close()))
    await farm.store?.close()
  }
  const ports = await freePorts(members)
  try {
    for (const [index, port] of ports.entries()) {
      const text = farm.config({ ...files, port, index, folder })
      const file = join(folder, `${index}-${farm.configName}`)
      await writeFile(file, text)
      configs.push({ name: `${index}-${farm.configName}`, text })
      programs.push(await Foreground.start(farm.command, farm.args(file, folder), port))
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    ports,
    configs,
    cpu() {
      const used = cpuOfAll(programs)
      const stored = farm.store === undefined ? 0 : farm.store.cpu()
      return used === undefined || stored === undefined ? undefined : used + stored
    },
    close,
  }
}
