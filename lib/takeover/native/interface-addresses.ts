/** IPv4 addresses of interfaces of this host. Needs CAP_NET_ADMIN. */
export interface InterfaceAddresses {
  /** From now on the address is one of this host; nothing happens where it is already. */
  add(name: string, address: string): void
  /** It no longer is; nothing happens where it is not. */
  remove(name: string, address: string): void
}
