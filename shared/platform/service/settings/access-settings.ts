/** Settings of every service: who may call it, by which door, and what is written of it. */
import { z } from 'zod'
import { Flag, integer, names, port, secret, setting } from './setting.ts'

export const ACCESS_SETTINGS = {
  internalHost: setting(
    'SCISSION_INTERNAL_HOST',
    z.string(),
    '',
    'interface of the internal door; empty = as SCISSION_HOST',
  ),
  internalPort: setting(
    'SCISSION_INTERNAL_PORT',
    z.union([z.literal(''), port]),
    '',
    'a second door for what machines say to each other, which the first one then does not show; empty = one door for both',
  ),
  allowedHosts: setting(
    'SCISSION_ALLOWED_HOSTS',
    names,
    '',
    'public names by which a service that asks for no token is called, comma-separated; addresses, names without a dot and ' +
      'private ones (.internal, .local) need not be listed',
  ),
  identity: setting(
    'SCISSION_IDENTITY',
    z.enum(['auto', 'always']),
    'auto',
    'always = callers on this machine show a token too: for a service behind a proxy of this machine',
  ),
  systemKey: secret(
    'SCISSION_SYSTEM_KEY',
    'what the services of a system know each other by: scission keys init makes it; npm start makes its own',
  ),
  token: secret(
    'SCISSION_TOKEN',
    'who this service is, if it has only the public system key; with the private one it makes its own',
  ),
  oidcIssuer: setting(
    'SCISSION_OIDC_ISSUER',
    z.union([z.literal(''), z.url()]),
    '',
    'identity provider (OpenID Connect) whose tokens hold too, as their claim iss has it; empty = keys of this system only',
  ),
  oidcAudience: setting(
    'SCISSION_OIDC_AUDIENCE',
    names,
    '',
    'for whom its tokens are made (claim aud), comma-separated if there are several; required with the issuer',
  ),
  oidcJwks: setting(
    'SCISSION_OIDC_JWKS',
    z.string(),
    '',
    'URL of its public keys, or a file with them for a site without a way to it; empty = as its discovery document says',
  ),
  oidcCa: setting(
    'SCISSION_OIDC_CA',
    z.string(),
    '',
    'file with the authority of its certificate (PEM), which then is the only one that counts for it; empty = those that Node ' +
      'knows. It may be replaced while the service runs',
  ),
  oidcRolesClaim: setting(
    'SCISSION_OIDC_ROLES_CLAIM',
    names,
    'roles,scope',
    'claims with the roles scission:operator, scission:read, scission:infer and scission:infer:PATTERN, comma-separated; a dot leads ' +
      'into an object: realm_access.roles',
  ),
  oidcClockToleranceMs: setting(
    'SCISSION_OIDC_CLOCK_TOLERANCE_MS',
    integer(0, 600_000),
    '30000',
    'so far the clock of the identity provider may be from this machine’s; times in its tokens are in whole seconds',
  ),
  tlsCert: setting(
    'SCISSION_TLS_CERT',
    z.string(),
    '',
    'file with the certificate (PEM) that this service shows; empty = without encryption. It may be replaced while it runs',
  ),
  tlsKey: setting('SCISSION_TLS_KEY', z.string(), '', 'file with the key of that certificate'),
  tlsCa: setting(
    'SCISSION_TLS_CA',
    z.string(),
    '',
    'file with the authority of the other services’ certificates; with it resources show each other certificates ' +
      '(scission certs)',
  ),
  insecure: setting(
    'SCISSION_INSECURE',
    Flag,
    '0',
    '1 = listen beyond this machine although anybody there can do everything; every page and log says so',
  ),
} as const
