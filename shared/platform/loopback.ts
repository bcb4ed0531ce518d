/** Whether a host or address is this machine whoever names it. @param host as in a URL or a setting: `::1`, `[::1]`, `localhost`. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d+){3}$/.test(host)
