/** Passwords in URLs are never printed, logged or answered. */

/** What stands in the place of a password. */
const HIDDEN = '***'
/** `scheme://user:password@`: the password ends at the last `@` before the next blank, quote or slash. */
const IN_A_URL = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@"'`<>]*):[^\s/"'`<>]+@/gi
/** The same where a slash in the password, unescaped, makes the URL invalid. */
const WITH_A_SLASH = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@"'`<>]*):[^\s@"'`<>]*\/[^\s@"'`<>]*@/gi

/** `http://host:8090/v2/models/net@2`: no password. */
const PORT_AND_PATH = /^https?:\/\/[^:]*:\d+\//i

/** A text that may hold URLs, with `***` for their passwords. */
export function hidePasswords(text: string): string {
  if (!text.includes('@')) return text
  return text
    .replaceAll(IN_A_URL, `$1:${HIDDEN}@`)
    .replaceAll(WITH_A_SLASH, (whole: string, before: string) =>
      PORT_AND_PATH.test(whole) ? whole : `${before}:${HIDDEN}@`,
    )
}

/** A setting that should be a URL and may be none: all before the last `@` may then be a password. */
export function hidePasswordOf(url: string): string {
  const hidden = hidePasswords(url)
  if (hidden !== url) return hidden
  const at = url.lastIndexOf('@')
  return at === -1 || (URL.canParse(url) && new URL(url).password === '') ? url : `${HIDDEN}${url.slice(at)}`
}
