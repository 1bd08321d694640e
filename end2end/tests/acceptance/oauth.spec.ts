// A client that signs, from its form to its first user: no secret is shown, and the page says what to set it up with.
import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { PUBLIC_URL } from '../../fixtures/ledger.ts';
import { registerFederation } from '../../fixtures/job.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { expect, signIn, test } from '../../fixtures/test.ts';

const FEDERATION = { slug: 'gamma-okta', name: 'Gamma Okta', provider: 'okta' };

test('a client that signs is issued, gets a token, and pushes a user', async ({ page }) => {
  test.setTimeout(120_000);
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, FEDERATION);
  await page.getByRole('link', { name: 'Issue key' }).click();

  await expect(page.getByRole('textbox', { name: /^Public keys/ })).toBeHidden();
  await page.getByRole('radio', { name: /OAuth client, signed assertion/ }).check();
  await page.getByRole('textbox', { name: 'Name' }).fill('gamma-client');
  await page.getByRole('button', { name: 'Issue key' }).click();
  await expect(page.getByRole('alert')).toContainText('1 thing to fix');
  await page.getByRole('textbox', { name: /^Public keys/ }).fill(JSON.stringify(publicKey.export({ format: 'jwk' })));
  await page.getByRole('button', { name: 'Issue key' }).click();

  await expect(page.getByRole('heading', { level: 1, name: 'Your new key gamma-client' })).toBeVisible();
  await expect(page.getByRole('textbox')).toHaveCount(0);
  const client = (await page.locator('#client-id').textContent()) ?? '';
  const endpoint = (await page.locator('#token-url').textContent()) ?? '';
  expect(endpoint).toBe(`${PUBLIC_URL}/oauth2/token`);

  const answer = await token(endpoint, assertion(client, privateKey));
  expect(answer.status).toBe(200);
  const { access_token: accessToken, expires_in: seconds } = (await answer.json()) as Record<string, string>;
  expect(seconds).toBe(900);
  expect((await scim(base, accessToken, 'POST', '/Users', user('gamma'))).status).toBe(201);
  expect((await token(endpoint, assertion(client, generateKeyPairSync('ed25519').privateKey))).status).toBe(401);

  await page.getByRole('link', { name: 'Done' }).click();
  await expect(page.getByText(/^Last used/).first()).toBeVisible();
  const facts = page.getByRole('region', { name: 'OAuth client' });
  await expect(facts).toContainText('Ed25519');
  await facts.getByRole('link', { name: 'Change public keys' }).click();
  const next = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
  await page.getByRole('textbox', { name: /^Public keys/ }).fill(next.export({ format: 'pem', type: 'spki' }).toString());
  await page.getByRole('button', { name: 'Save public keys' }).click();
  await expect(facts).toContainText('EC P-256');
  // The key that proved the token is gone, and so is the token.
  expect((await scim(base, accessToken, 'GET', '/Users')).status).toBe(401);

  await page.goto('/keys?proof=assertion');
  await expect(page.getByRole('link', { name: 'gamma-client' })).toBeVisible();
  await page.goto('/keys?proof=static');
  await expect(page.getByRole('link', { name: 'gamma-client' })).toHaveCount(0);
});

function assertion(client: string, key: KeyObject): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: client, sub: client, aud: PUBLIC_URL, jti: randomUUID(), iat: now, exp: now + 60 };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const message = `${part({ alg: 'EdDSA', typ: 'JWT' })}.${part(claims)}`;
  return `${message}.${sign(null, Buffer.from(message), key).toString('base64url')}`;
}

function token(endpoint: string, clientAssertion: string): Promise<Response> {
  return fetch(endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: clientAssertion,
    }),
  });
}
