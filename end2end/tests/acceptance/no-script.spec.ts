// The same main job with JavaScript switched off: links and forms carry all of it.
import { issueKey, record, registerFederation, revokeKey, rotateKey } from '../../fixtures/job.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { expect, signIn, test } from '../../fixtures/test.ts';

test.use({ javaScriptEnabled: false });

const FEDERATION = { slug: 'beta-entra', name: 'Beta Entra', provider: 'entra' };

test('the main job is done without script', async ({ page }) => {
  test.setTimeout(120_000);
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  const base = await registerFederation(page, FEDERATION);
  await page.getByRole('link', { name: 'Issue key' }).click();
  const first = await issueKey(page, 'beta-entra-1');
  // What needs script is not offered.
  await expect(page.getByRole('button', { name: 'Copy key' })).toHaveCount(0);
  const created = await scim(base, first, 'POST', '/Users', user('noscript'));
  expect(created.status).toBe(201);

  await page.getByRole('link', { name: 'Done' }).click();
  await expect(page.getByText(/^Last used/).first()).toBeVisible();
  await page.getByRole('link', { name: 'Rotate key' }).click();
  const second = await rotateKey(page);
  const path = `/Users/${created.body.id}`;
  expect((await scim(base, first, 'GET', path)).status).toBe(200);
  expect((await scim(base, second, 'GET', path)).status).toBe(200);

  await page.getByRole('link', { name: 'Done' }).click();
  await page.getByRole('region', { name: 'Rotation' }).getByRole('link', { name: 'beta-entra-1', exact: true }).click();
  await page.getByRole('link', { name: 'Revoke key' }).click();
  await revokeKey(page, 'Done without script');
  expect((await scim(base, first, 'GET', path)).status).toBe(401);
  expect((await scim(base, second, 'GET', path)).status).toBe(200);

  await page.goto('/audit?federation=beta-entra');
  await expect(record(page, 'registered federation', 'Beta Entra').first()).toBeVisible();
  await expect(record(page, 'revoked key', 'beta-entra-1').first()).toBeVisible();
  await page.getByRole('combobox', { name: 'What' }).selectOption('key.issued');
  await page.getByRole('button', { name: 'Apply filter' }).click();
  await expect(record(page, 'issued key', 'beta-entra-1').first()).toBeVisible();

  await page.getByRole('button', { name: 'Sign out' }).click();
  // The way to the provider's own sign-out is a link when nothing goes on by itself.
  const on = page.getByRole('link').or(page.getByRole('button', { name: 'Yes, sign out' })).first();
  await on.click();
  await page.goto('/');
  await expect(page).toHaveURL(/\/sign-in/);
});
