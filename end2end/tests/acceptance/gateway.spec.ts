// A federation that forwards to another service: set, tested, probed, made up for; accounts that were there; and
// what the page says while the service does not do as it should.
import { expect, type Page } from '@playwright/test';
import { issueKey, registerFederation } from '../../fixtures/job.ts';
import { look } from '../../fixtures/look.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { signIn, test } from '../../fixtures/test.ts';
import { startUpstream, type Upstream } from '../../fixtures/upstream.ts';

const FEDERATION = { slug: 'delta-okta', name: 'Delta Okta', provider: 'okta' };
const PATH = `/federations/${FEDERATION.slug}`;
const TOKEN = 'a-token-of-the-service-4711';

let upstream: Upstream;
test.beforeAll(async () => {
  upstream = await startUpstream(TOKEN, { noPut: true });
});
test.afterAll(() => upstream.stop());

const target = (page: Page) => page.getByRole('region', { name: 'Target', exact: true });

async function click(page: Page, name: string): Promise<void> {
  await page.goto(PATH);
  await target(page).getByRole('button', { name, exact: true }).click();
  await expect(page).toHaveURL(new RegExp(`${PATH}$`));
}

test('a service is set as the target, and the page says what is the matter with it', async ({ page }) => {
  test.setTimeout(240_000);
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, FEDERATION);
  // Registering leads to the set-up of a provider; the target stands on the page of the federation.
  await page.goto(PATH);
  await target(page).getByRole('link', { name: 'Forward to a service' }).click();

  // Only what a way of signing in needs is shown.
  const way = page.getByRole('combobox', { name: 'How Keyward signs in there' });
  const tokenUrl = page.getByRole('textbox', { name: /^Token URL/ });
  await expect(tokenUrl).toBeHidden();
  await way.selectOption('oauth');
  await expect(tokenUrl).toBeVisible();
  await way.selectOption('bearer');
  await page.getByRole('textbox', { name: /^SCIM base URL/ }).fill(upstream.base);
  await page.getByLabel('Token, password or client secret').fill(`${TOKEN} with a space`);
  await page.getByRole('button', { name: 'Forward to this service' }).click();
  await expect(page.getByRole('alert')).toContainText('no spaces');
  await expect(page.getByLabel('Token, password or client secret')).toHaveValue('');
  await look(page, 'target-form');
  await page.getByLabel('Token, password or client secret').fill(TOKEN);
  await page.getByRole('button', { name: 'Forward to this service' }).click();
  await expect(target(page)).toContainText(upstream.base);
  await expect(target(page)).toContainText('Not tested yet.');

  await click(page, 'Test connection');
  await expect(target(page)).toContainText('Worked');
  await expect(target(page)).not.toContainText('Not tested yet');
  await look(page, 'target-healthy');

  await page.goto(`/keys/new?federation=${FEDERATION.slug}`);
  const key = await issueKey(page, 'delta-1');
  const made = await scim(base, key, 'POST', '/Users', user('lena'));
  expect(made.status).toBe(201);
  const lena = { ...user('lena'), displayName: 'Lena N.' };
  expect((await scim(base, key, 'PUT', `/Users/${made.body.id}`, lena)).status).toBe(501);

  // The probe finds it, and one click makes up for it.
  await click(page, 'Probe');
  const probe = page.getByRole('region', { name: 'Last probe' });
  await expect(probe).toContainText('Knows no PUT');
  await look(page, 'target-probed');
  await probe.getByRole('button', { name: 'Apply' }).click();
  await expect(target(page)).toContainText('Made up for');
  await expect(target(page)).toContainText('Knows no PUT');
  await expect(probe.getByRole('button', { name: 'Apply' })).toHaveCount(0);
  const replaced = await scim(base, key, 'PUT', `/Users/${made.body.id}`, lena);
  expect([replaced.status, replaced.body.displayName]).toEqual([200, 'Lena N.']);

  // Whoever was there before is not taken by name.
  upstream.put({ userName: 'eva@acme.example' });
  expect((await scim(base, key, 'POST', '/Users', user('eva'))).status).toBe(409);
  await page.goto(PATH);
  const waiting = page.getByRole('region', { name: 'Waiting for approval' });
  await expect(waiting.getByRole('row', { name: /eva@acme\.example/ })).toBeVisible();
  await look(page, 'target-waiting');
  await waiting.getByRole('button', { name: 'Approve eva@acme.example' }).click();
  await expect(waiting).toHaveCount(0);
  const filter = encodeURIComponent('userName eq "eva@acme.example"');
  const found = await scim(base, key, 'GET', `/Users?filter=${filter}`);
  const eva = `/Users/${found.body.Resources[0].id}`;
  expect((await scim(base, key, 'PUT', eva, user('eva'))).status).toBe(200);

  await troubles(page, base, key);
});

/** What the page says, and what a provider is told, while the service fails in one way after the other. */
async function troubles(page: Page, base: string, key: string): Promise<void> {
  upstream.mood = 'locked';
  const locked = await scim(base, key, 'GET', '/Users');
  expect(locked.status).toBe(503);
  await page.goto(PATH);
  await expect(target(page)).toContainText('Its credential is refused.');
  await expect(target(page).getByRole('link', { name: 'Change target' }).first()).toBeVisible();
  await expect(page.getByText('Live, but its target is in trouble.')).toBeVisible();
  await look(page, 'target-locked');
  upstream.mood = 'kind';
  await click(page, 'Test connection');
  await expect(target(page)).not.toContainText('Its credential is refused.');
  await expect(page.getByText('Live, but its target is in trouble.')).toHaveCount(0);

  // Done, and nobody heard of it; and then five failures in a row.
  upstream.mood = 'done-but-failing';
  expect((await scim(base, key, 'POST', '/Users', user('una'))).status).toBe(503);
  upstream.mood = 'failing';
  for (let tries = 0; tries < 5; tries += 1) await scim(base, key, 'GET', '/Users');
  await page.goto(PATH);
  await expect(target(page)).toContainText('Nothing is sent: its last calls failed.');
  await expect(target(page)).toContainText('Status 500');
  const open = page.getByRole('region', { name: '1 call of which nobody knows' });
  await expect(open).toContainText('Create user una@acme.example');
  await look(page, 'target-failing');

  // The service comes back: calls are sent again, and Keyward finds out by itself what became of una.
  upstream.mood = 'kind';
  await expect(async () => {
    expect((await scim(base, key, 'GET', '/Users')).status).toBe(200);
  }).toPass({ timeout: 60_000 });
  await expect(async () => {
    await page.reload();
    await expect(open).toHaveCount(0, { timeout: 500 });
  }).toPass({ timeout: 30_000 });
  await expect(target(page)).not.toContainText('Nothing is sent');
  expect(upstream.names().filter((name) => name === 'una@acme.example')).toHaveLength(1);
}
