// The guided set-up: from the form to the first real request, on one page that fills in by itself.
import { issueKey, pasted, registerFederation } from '../../fixtures/job.ts';
import { look } from '../../fixtures/look.ts';
import { PUBLIC_URL } from '../../fixtures/ledger.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { expect, signIn, test } from '../../fixtures/test.ts';

const FEDERATION = { slug: 'connect-okta', name: 'Connect Okta', provider: 'okta' };

test('a new federation leads to its first request without the documents', async ({ page, context }) => {
  test.setTimeout(180_000);
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: PUBLIC_URL });
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, FEDERATION);
  await expect(page).toHaveURL(/\/federations\/connect-okta\/setup$/);
  const guide = page.getByRole('region', { name: '2. Paste into Okta' });
  const connection = page.getByRole('region', { name: '3. Connection' });
  await expect(guide).toContainText('SCIM connector base URL');
  await expect(guide).toContainText('Test Connector Configuration');
  await expect(connection).toContainText('Waiting.');
  await look(page, '30-setup-waiting');
  await expect(async () => {
    await guide.getByRole('button', { name: 'Copy userName' }).click({ timeout: 1000 });
    await expect(guide.getByRole('button', { name: 'Copied' })).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 15_000 });
  expect(await pasted(page)).toBe('userName');

  await page.getByRole('link', { name: 'Issue key' }).click();
  const key = await issueKey(page, 'connect-okta-1');
  // The same guide stands beside the key.
  await expect(page.getByRole('region', { name: 'Hand it over' })).toContainText('SCIM connector base URL');
  await page.getByRole('button', { name: 'Copy key' }).click();
  await page.getByRole('link', { name: 'Watch the connection' }).click();
  await expect(page.getByRole('region', { name: '1. Key' })).toContainText('connect-okta-1');

  const step = (name: string) => connection.getByRole('listitem').filter({ has: page.getByRole('heading', { name, exact: true }) });
  await expect(step('Reached us')).toContainText('Waiting for a request.');
  // What only looks is a test: it proves the key, not the work. Nobody reloads.
  expect((await scim(base, key, 'GET', '/Users?count=1')).status).toBe(200);
  await expect(connection).toContainText('The test passed.', { timeout: 15_000 });
  for (const name of ['Reached us', 'Key known', 'Scope allows', 'Answered']) {
    await expect(step(name)).toHaveClass('done');
    await expect(step(name)).toContainText('GET Users, 200');
  }
  await look(page, '31-setup-tested');
  expect((await scim(base, key, 'POST', '/Users', user('mia.lang'))).status).toBe(201);
  await expect(connection).toContainText('Connected.', { timeout: 15_000 });
  await expect(connection).toContainText(/Okta created mia\.lang@acme\.example at \d{4}-/);
  await look(page, '32-setup-connected');
  await connection.getByRole('link', { name: 'Done' }).click();
  await expect(page.getByText('Live.', { exact: true })).toBeVisible();
});

test('a key that may not do what the provider asks is shown as such, with what to do', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, { slug: 'connect-reader', name: 'Connect Reader', provider: 'jumpcloud' });
  await page.getByRole('link', { name: 'Issue key' }).click();
  await page.getByRole('radio', { name: /^Read only/ }).check();
  const key = await issueKey(page, 'connect-reader-1');
  expect((await scim(base, key, 'POST', '/Users', user('reader'))).status).toBe(403);
  await page.goto('/federations/connect-reader/setup');
  const connection = page.getByRole('region', { name: '3. Connection' });
  await expect(connection).toContainText('Not yet.');
  await expect(connection).toContainText('Issue a key with a wider scope');
  await expect(page.getByRole('region', { name: '2. Paste into JumpCloud' })).toContainText('Token Key');
  await look(page, '33-setup-denied');
});

test.describe('without script', () => {
  test.use({ javaScriptEnabled: false });

  test('the set-up page reads, and looks again by a link', async ({ page }) => {
    await signIn(page, 'ana');
    await page.goto('/federations/new');
    await registerFederation(page, { slug: 'connect-plain', name: 'Connect Plain', provider: 'other' });
    await expect(page.getByRole('region', { name: '2. Paste into the provider' })).toContainText('/scim/connect-plain/v2');
    await page.getByRole('link', { name: 'Look again' }).click();
    await expect(page.getByText('Waiting.', { exact: true })).toBeVisible();
  });
});
