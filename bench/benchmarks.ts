import type { Benchmark } from './benchmark.ts'

/** Every benchmark, in the order in which `all` runs them. A new one is a file and a line. */
export const benchmarks: Readonly<Record<string, () => Promise<Benchmark>>> = {
  handshakes: async () => (await import('./handshakes.ts')).handshakes,
  resumption: async () => (await import('./resumption.ts')).resumption,
  latency: async () => (await import('./latency.ts')).latency,
  'farm-size': async () => (await import('./farm-size.ts')).farmSize,
  proxy: async () => (await import('./proxy.ts')).proxy,
  'proxy-memory': async () => (await import('./proxy-memory.ts')).proxyMemory,
  topologies: async () => (await import('./topologies.ts')).topologies,
  failover: async () => (await import('./failover.ts')).failover,
  dispatch: async () => (await import('./dispatch.ts')).dispatch,
  queue: async () => (await import('./queue.ts')).queue,
  scale: async () => (await import('./scale.ts')).scale,
  table: async () => (await import('./record-table.ts')).recordTable,
  repository: async () => (await import('./repository.ts')).repository,
  state: async () => (await import('./state.ts')).state,
  takeover: async () => (await import('./takeover.ts')).takeover,
  communicator: async () => (await import('./packets.ts')).packets,
}
