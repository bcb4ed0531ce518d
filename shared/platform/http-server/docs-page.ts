/**
 * The documentation page, /docs/: swagger-ui from its package, so that the page loads nothing of another host. It is served
 * over HTTP, at any address of the machine: whatever headers tell a browser to expect HTTPS are left out, since a browser
 * obeys them everywhere but on its own machine, and the page stays blank.
 */
import { createRequire } from 'node:module'
import path from 'node:path'
import express, { type RequestHandler } from 'express'
import helmet from 'helmet'
import { identityOf } from '../access/guard.ts'
import { ScissionError } from '../errors.ts'
import type { AppDeps } from './app.ts'
import { beginning, firstCalls, frontPage, htmlPage } from './front-page.ts'
import { neighboursFor } from './neighbours.ts'

const assets = path.dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))

const headers = helmet({
  contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } },
  strictTransportSecurity: false,
  // Browsers ignore both on an origin without HTTPS, and complain.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
})

/** Paths are relative, and swagger-ui asks no validator on the internet. */
const START = `SwaggerUIBundle({ url: '../openapi.json', dom_id: '#ui', deepLinking: true, validatorUrl: null })`
const STYLE = `#begin { max-width: 1460px; margin: 1.5em auto 0; padding: 0 20px; font: 15px/1.5 sans-serif }
.swagger-ui .info { margin: 1em 0 }`

export function docs(deps: AppDeps): RequestHandler[] {
  // Fails when the service starts, not when the page is opened.
  firstCalls(deps)
  return [headers, onlyReads, pageOf(deps), express.static(assets, { index: false, redirect: false })]
}

const onlyReads: RequestHandler = (req, res, next) => {
  if (req.method === 'GET' || req.method === 'HEAD') return next()
  res.set('Allow', 'GET, HEAD')
  next(new ScissionError('methodNotAllowed', `${req.method} is not allowed here; allowed: GET, HEAD`))
}

function pageOf(deps: AppDeps): RequestHandler {
  return async (req, res, next) => {
    if (req.path === '/start.js') res.type('js').send(START)
    else if (req.path === '/style.css') res.type('css').send(STYLE)
    else if (req.path !== '/') next()
    // The page's links are relative to the folder.
    else if (!req.originalUrl.split('?')[0]?.endsWith('/')) res.redirect('docs/')
    else {
      const isKnown = identityOf(req).kind !== 'nobody'
      const page = frontPage(deps, isKnown ? await neighboursFor(deps.neighbours, req.headers.host) : {})
      res.type('html').send(
        htmlPage(
          `Scission ${deps.name} API`,
          `<div id="begin">${beginning(page, '../')}</div><div id="ui"></div>
<script src="swagger-ui-bundle.js"></script><script src="start.js"></script>`,
          `<link rel="icon" href="favicon-32x32.png">
<link rel="stylesheet" href="swagger-ui.css"><link rel="stylesheet" href="style.css">`,
        ),
      )
    }
  }
}
