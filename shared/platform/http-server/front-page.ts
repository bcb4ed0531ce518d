/** The front page of a service, `/`: where to begin, and links to the rest; as JSON, and as a page. */
import { z } from 'zod'
import { VERSION } from '../version.ts'
import type { AppDeps } from './app.ts'
import { templateOf } from './openapi-operation.ts'

const Call = z.object({
  summary: z.string(),
  method: z.string(),
  path: z.string(),
  /** Where the page of documentation describes it. */
  docs: z.string(),
})

export const FrontPage = z
  .object({
    service: z.string(),
    version: z.string(),
    description: z.string(),
    warning: z.string().optional().describe('Why anybody on the network can do everything here, if so'),
    links: z.record(z.string(), z.string()),
    begin: z.array(Call).describe('The calls to begin with, in their order'),
    services: z
      .record(z.string(), z.string())
      .describe('URLs of the other services, as far as they are known'),
  })
  .meta({ id: 'FrontPage' })
export type FrontPage = z.infer<typeof FrontPage>

const LINKS = {
  docs: '/docs/',
  openapi: '/openapi.json',
  health: '/healthz',
  ready: '/readyz',
  metrics: '/metrics',
}

/** @throws Error if a call to begin with is not among the routes, when the service starts. */
export function firstCalls({
  begin = [],
  routes,
}: Pick<AppDeps, 'begin' | 'routes'>): z.infer<typeof Call>[] {
  return begin.map((id) => {
    const route = routes.find((one) => one.id === id)
    if (!route) throw new Error(`no route is called ${id}`)
    const anchor = [route.tag?.name ?? 'default', id].map(encodeURIComponent).join('/')
    return {
      summary: route.summary,
      method: route.method.toUpperCase(),
      path: templateOf(route.path),
      docs: `/docs/#/${anchor}`,
    }
  })
}

export function frontPage(deps: AppDeps, services: Record<string, string>): FrontPage {
  const { name, description = '', warning } = deps
  const about = { service: name, version: VERSION, description, ...(warning !== undefined && { warning }) }
  return { ...about, links: LINKS, begin: firstCalls(deps), services }
}

export const frontPageHtml = (page: FrontPage): string =>
  htmlPage(
    `Scission ${page.service} service`,
    `<h1>Scission ${page.service} service</h1>${beginning(page)}
<p>${Object.entries(page.links)
      .map(([name, href]) => link(href.slice(1), name))
      .join(' · ')} · version ${escape(page.version)}</p>`,
    '<link rel="icon" href="docs/favicon-32x32.png">',
  )

/** What a newcomer reads first, here and above the documentation. Links are relative: a proxy may stand before. */
export function beginning({ description, warning, begin, services }: FrontPage, up = ''): string {
  const calls = begin.map(
    ({ summary, method, path, docs }) =>
      `<li>${link(`${up}${docs.slice(1)}`, `${method} ${path}`)}: ${prose(summary)}</li>`,
  )
  const others = Object.entries(services).map(([name, url]) =>
    // A machine says itself where it is: what is no web address is shown and not linked.
    /^https?:/i.test(url) && URL.canParse(url) ? link(`${url}/docs/`, name) : escape(`${name}: ${url}`),
  )
  const warned = warning === undefined ? '' : `<p><strong>${escape(warning)}</strong></p>`
  return `${warned}<p>${prose(description)}</p><p>Begin with:</p><ol>${calls.join('')}</ol>${
    others.length === 0 ? '' : `<p>Other services: ${others.join(' · ')}</p>`
  }`
}

export const htmlPage = (title: string, body: string, head = ''): string =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>
<meta name="viewport" content="width=device-width">${head}</head>
<body>${body}</body></html>`

const link = (href: string, text: string) => `<a href="${escape(href)}">${escape(text)}</a>`

/** Summaries and descriptions are Markdown, of which they use code. */
const prose = (text: string) => escape(text).replace(/`([^`]+)`/g, '<code>$1</code>')

/** Control characters and marks that turn the direction of text around are shown as what they are. */
const HIDDEN = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu

const escape = (text: string) =>
  text
    .replace(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
