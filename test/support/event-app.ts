/** An app with one route, which answers with events. */
import type { Request, Response } from 'express'
import { route } from '../../shared/platform/http-server/route.ts'
import { exampleApp } from './example-app.ts'

/** @param open answers `GET /v1/events`. */
export const eventApp = (open: (req: Request, res: Response) => void) =>
  exampleApp([
    route({
      method: 'get',
      path: '/v1/events',
      id: 'followEvents',
      access: 'anyone',
      summary: 'events',
      answers: {},
      handle: (_input, req, res) => {
        open(req, res)
      },
    }),
  ])
