import type koffi from 'koffi'

export type Koffi = typeof koffi

/** Loaded here and nowhere else. Rejects when it is not installed, or has no build for this system. */
export async function loadKoffi(): Promise<Koffi> {
  const { default: loaded } = await import('koffi')
  return loaded
}
