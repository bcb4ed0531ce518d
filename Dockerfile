# One image for the three services; the command chooses. docker-compose.yml runs it as it is meant to be run; by hand:
#   docker run --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 2g --pids-limit 256 \
#     --env-file planner.env scission node dist/services/planner/main.js
#
# The base is the current LTS of Node by its full version. A tag can be moved: who builds pins what it means today by its digest,
# `--build-arg NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:…`. SECURITY.md says how to find it.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY shared shared
COPY services services
COPY infra infra
RUN npm run build

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund
# What only compiles, or starts from source: the image runs compiled code.
RUN rm -r node_modules/esbuild node_modules/@esbuild node_modules/tsx node_modules/.bin

FROM ${NODE_IMAGE}
# Nothing here installs or builds.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* /usr/local/include
ENV NODE_ENV=production SCISSION_HOST=0.0.0.0 SCISSION_DATA=/data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
# The port differs by service, so the check asks the process' own setting.
# It asks itself, so whose certificate answers does not matter.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED='0';fetch((process.env.SCISSION_TLS_CERT?'https':'http')+'://127.0.0.1:'+process.env.SCISSION_PORT+'/healthz').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
CMD ["node", "dist/services/benchmark/main.js"]
