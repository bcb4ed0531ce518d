/**
 * A small private authority for people who have none: it signs a certificate for each service. Keys are ECDSA on P-256, which
 * every TLS library knows. The files are PEM.
 */
// What @peculiar/x509 is made with asks for it.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'

export interface CertificateFiles {
  certificate: string
  /** PKCS #8 */
  key: string
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY_MS = 24 * 3600 * 1000
/** Clocks of machines differ. */
const EARLIER_MS = 3600 * 1000
const AUTHORITY_DAYS = 3650
const SERIAL_BYTES = 16

x509.cryptoProvider.set(webcrypto as never)

/** @param name of the authority, for people. */
export async function makeAuthority(name: string): Promise<CertificateFiles> {
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [name] }],
    ...validFor(AUTHORITY_DAYS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      // It signs certificates of services, and no further authorities.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: certificate.toString('pem'), key: await pemOf(keys.privateKey) }
}

/**
 * @param name of the service: its common name and one of its DNS names.
 * @param hosts further names and addresses by which it is called.
 * @param days for which it holds.
 */
export async function makeCertificate(
  authority: CertificateFiles,
  name: string,
  { hosts, days }: { hosts: readonly string[]; days: number },
): Promise<CertificateFiles> {
  const issuer = new x509.X509Certificate(authority.certificate)
  const signingKey = await keyOf(authority.key)
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [name] }],
    issuer: issuer.subjectName,
    ...validFor(days),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(
        [...new Set([name, ...hosts])].map((host) => ({
          type: isIP(host) === 0 ? 'dns' : 'ip',
          value: host,
        })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: certificate.toString('pem'), key: await pemOf(keys.privateKey) }
}

const newKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])

/** Positive: its first bit is zero. */
function newSerial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(SERIAL_BYTES)))
  bytes[0]! &= 0x7f
  return bytes.toString('hex')
}

const validFor = (days: number) => ({
  notBefore: new Date(Date.now() - EARLIER_MS),
  notAfter: new Date(Date.now() + days * DAY_MS),
})

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')
}

async function keyOf(pem: string): Promise<webcrypto.CryptoKey> {
  const [bytes] = x509.PemConverter.decode(pem)
  if (!bytes) throw new Error('the file holds no key')
  return webcrypto.subtle.importKey('pkcs8', bytes, ALGORITHM, false, ['sign'])
}
