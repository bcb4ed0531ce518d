/** Prints sentences and tables for people: fitted to the terminal, without passwords. */
import { hidePasswords } from '../../shared/platform/hidden-passwords.ts'
import { terminalWidth, wrapText } from './wrap.ts'

/** @param text must hold nothing from outside that controls a terminal: see printable.ts. */
export function say(text: string): void {
  console.log(wrapText(hidePasswords(text), terminalWidth(process.stdout)))
}

/** The same on standard error. */
export function complain(text: string): void {
  console.error(wrapText(hidePasswords(text), terminalWidth(process.stderr)))
}
