// What keys do, as people see and stop it: the live feed, an undo, held operations, planned work and marks.
import type { Browser, Page } from '@playwright/test';
import { look } from '../../fixtures/look.ts';
import type { Person } from '../../fixtures/provider.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { anotherPage, expect, signIn, test } from '../../fixtures/test.ts';
import { federation, fullKey, team } from '../../fixtures/world.ts';

// A test that fails ends its worker, and the next one has a federation of its own.
const SLUG = `sight-${process.env.TEST_WORKER_INDEX}`;
const NAME = `Sight ${process.env.TEST_WORKER_INDEX}`;
let base = '';
let secret = '';

test.beforeAll(async ({ browser }) => {
  test.setTimeout(120_000);
  const page = await anotherPage(browser);
  await signIn(page, 'ana');
  base = await federation(page, SLUG, NAME);
  secret = await fullKey(page, SLUG, `${SLUG}-1`);
  await page.close();
});

const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

function title(value: string): object {
  return { schemas: [PATCH], Operations: [{ op: 'replace', path: 'title', value }] };
}

/** Makes a user by SCIM and returns its id. */
async function made(name: string): Promise<string> {
  const answer = await scim(base, secret, 'POST', '/Users', user(name));
  expect(answer.status).toBe(201);
  return answer.body.id;
}

test('a request appears in the feed while the page is open; pause holds it back until it is asked for', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto(`/usage/live?federation=${SLUG}`);
  await expect(page.getByText('Live', { exact: true })).toBeVisible({ timeout: 20_000 });
  const first = await made('feed-first');
  const row = (id: string) => page.getByRole('row').filter({ hasText: id });
  await expect(row(first)).toContainText('POST Users');
  await expect(row(first)).toContainText('Allowed 201');

  await page.getByRole('button', { name: 'Pause' }).click();
  await expect(page.getByRole('button', { name: 'Go on' })).toHaveAttribute('aria-pressed', 'true');
  const second = await made('feed-second');
  const show = page.getByRole('button', { name: 'Show 1 new' });
  await expect(show).toBeVisible();
  await expect(row(second)).toHaveCount(0);
  await show.click();
  await expect(row(second)).toBeVisible();

  await page.getByRole('button', { name: 'Go on' }).click();
  const refused = await scim(base, secret, 'GET', '/Users/nobody');
  expect(refused.status).toBe(404);
  await expect(page.getByRole('row').filter({ hasText: 'Not accepted 404' })).toBeVisible();
  await look(page, '70-live-feed');
  await row(first).getByRole('link').first().click();
  await expect(page.getByRole('heading', { level: 1, name: 'Request' })).toBeVisible();
});

test('what a key did to a user is planned, taken back, and gone', async ({ page }) => {
  await signIn(page, 'ana');
  const id = await made('undone');
  expect((await scim(base, secret, 'PATCH', `/Users/${id}`, title('Chief'))).status).toBe(200);
  await page.goto(`/federations/${SLUG}/users/${id}`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('undone@acme.example');
  await look(page, '71-user-with-history');
  await page.getByRole('link', { name: 'Undo all its changes' }).click();
  await expect(page.getByText('Everything comes back.')).toBeVisible();
  // A plan changes nothing.
  expect((await scim(base, secret, 'GET', `/Users/${id}`)).body.title).toBe('Chief');
  await look(page, '72-undo-plan');
  await page.getByRole('button', { name: 'Take back exactly this' }).click();
  await expect(page).toHaveURL(new RegExp(`/federations/${SLUG}/undo/\\w+$`));
  await look(page, '73-undo-done');
  expect((await scim(base, secret, 'GET', `/Users/${id}`)).status).toBe(404);
  await page.goto(`/federations/${SLUG}/users/${id}`);
  await expect(page.getByText('It is not here now.')).toBeVisible();
});

test('a held operation passes once after a second person approves it, and not before', async ({ page, browser }) => {
  test.setTimeout(150_000);
  const group = (await team(base, secret, 'held')).at(-1);
  const remove = () => scim(base, secret, 'DELETE', `/Groups/${group}`).then((answer) => answer.status);
  expect(await remove()).toBe(429);
  await signIn(page, 'ana');
  await page.goto(`/federations/${SLUG}/brakes`);
  await page.locator('main a[href$="/held"]').first().click();
  await expect(page.getByText('1 operation waits for a decision.')).toBeVisible();
  // The key is her own: she cannot approve what it asks for.
  await expect(page.getByRole('button', { name: 'Approve 1 operation' })).toHaveAttribute('aria-disabled', 'true');
  await look(page, '74-held-own');
  const address = page.url();

  await as(browser, 'rui', async (other) => {
    await other.goto(address);
    await other.getByRole('textbox', { name: 'Why' }).fill('The team was dissolved');
    await other.getByRole('button', { name: 'Approve 1 operation' }).click();
    await expect(other.getByText('Nothing waits for a decision.')).toBeVisible();
    await look(other, '75-held-approved');
  });
  expect(await remove()).toBe(204);
  await page.reload();
  await expect(page.getByText(/1 done/).first()).toBeVisible();
});

test('work is planned by one person and agreed to by another; a protected user is out of reach', async ({ page, browser }) => {
  test.setTimeout(150_000);
  await signIn(page, 'ana');
  await page.goto(`/federations/${SLUG}/brakes`);
  await page.getByRole('link', { name: 'Plan a window' }).click();
  await page.getByRole('textbox', { name: 'What is done in it' }).fill('Clean-up of leavers');
  await page.getByRole('button', { name: 'Plan window' }).click();
  const windows = page.getByRole('region', { name: 'Maintenance windows', exact: true }).getByRole('row', { name: /Clean-up of leavers/ });
  await expect(windows.first()).toContainText('Waits for a second person');
  await expect(page.getByRole('button', { name: 'Agree' })).toHaveCount(0);
  await as(browser, 'rui', async (other) => {
    await other.goto(`/federations/${SLUG}/brakes`);
    await other.getByRole('button', { name: 'Agree' }).click();
    await expect(other.getByText('A maintenance window is open.')).toBeVisible();
  });

  const id = await made('breakglass');
  await page.getByRole('link', { name: 'Mark a user or group' }).click();
  await page.getByRole('textbox', { name: 'User or group' }).fill('breakglass@acme.example');
  await page.getByRole('textbox', { name: 'Why' }).fill('The account of last resort');
  await page.getByRole('button', { name: 'Mark it' }).click();
  await expect(page.getByRole('heading', { level: 3, name: /breakglass/ })).toBeVisible();
  expect((await scim(base, secret, 'PATCH', `/Users/${id}`, title('Nobody'))).status).toBe(403);
  await look(page, '76-brakes');
});

async function as(browser: Browser, person: Person, work: (page: Page) => Promise<void>): Promise<void> {
  const page = await anotherPage(browser);
  try {
    await signIn(page, person);
    await work(page);
  } finally {
    await page.close();
  }
}
