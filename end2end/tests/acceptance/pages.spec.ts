// Each page by role and heading, who may see it, what goes wrong in words, and what only lives with WebAssembly.
import { expectAccessible, look } from '../../fixtures/look.ts';
import { issueKey, pasted, registerFederation } from '../../fixtures/job.ts';
import { PUBLIC_URL } from '../../fixtures/ledger.ts';
import { PEOPLE } from '../../fixtures/provider.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { expect, signIn, test } from '../../fixtures/test.ts';

const FEDERATION = { slug: 'gamma-keycloak', name: 'Gamma Keycloak', provider: 'keycloak' };
const OTHER = { slug: 'delta-other', name: 'Delta', provider: 'other' };

test.beforeAll(async ({ browser }) => {
  const page = await browser.newPage({ baseURL: PUBLIC_URL });
  await signIn(page, 'ana');
  for (const federation of [FEDERATION, OTHER]) {
    await page.goto(`/federations/${federation.slug}`);
    if (await page.getByRole('heading', { level: 1, name: federation.name }).isVisible()) continue;
    await page.goto('/federations/new');
    await registerFederation(page, federation);
  }
  await page.close();
});

test('every page has its heading, one main landmark and its place in the rail', async ({ page }) => {
  await signIn(page, 'ana');
  for (const [path, heading, place] of [
    ['/', 'Overview', 'Overview'],
    ['/federations', 'Federations', 'Federations'],
    ['/federations/new', 'Register federation', 'Federations'],
    ['/federations/gamma-keycloak', 'Gamma Keycloak', 'Federations'],
    ['/federations/gamma-keycloak/edit', 'Edit Gamma Keycloak', 'Federations'],
    ['/keys', 'Keys', 'Keys'],
    ['/keys/new', 'Issue key', 'Keys'],
    ['/keys/new?federation=gamma-keycloak', 'Issue key', 'Keys'],
    ['/rotation', 'Rotation', 'Rotation'],
    ['/federations/gamma-keycloak/rotation', 'Rotation policy of Gamma Keycloak', 'Federations'],
    ['/settings/rotation', 'Rotation policy of this installation', 'Settings'],
    ['/audit', 'Audit log', 'Audit'],
    ['/audit/1', 'Record 1', 'Audit'],
  ]) {
    const answer = await page.goto(path);
    expect(answer?.status(), path).toBe(200);
    await expect(page.getByRole('heading', { level: 1 }), path).toHaveText(heading);
    await expect(page).toHaveTitle(`${heading} · Keyward`);
    await expect(page.getByRole('main')).toHaveCount(1);
    const current = page.getByRole('navigation', { name: 'Main' }).locator('[aria-current=page]');
    await expect(current, path).toHaveText(place);
    await expectAccessible(page, path);
  }
});

test('a page or a thing that is not there says so, with 404', async ({ page }) => {
  await signIn(page, 'ana');
  for (const path of ['/no/such/page', '/federations/no-such', '/keys/no-such', '/audit/999999999']) {
    const answer = await page.goto(path);
    expect(answer?.status(), path).toBe(404);
    await expect(page.getByRole('heading', { level: 1 }), path).toHaveText('There is nothing here');
  }
  await look(page, '20-not-found');
});

test('without a session every page leads to sign-in and nothing else', async ({ page }) => {
  for (const path of ['/', '/federations', '/federations/new', '/keys', '/keys/new', '/audit', '/audit/1']) {
    await page.goto(path);
    await expect(page, path).toHaveURL(/\/sign-in/);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Sign in');
  }
});

test('a sign-in that is declined at the provider says so', async ({ page }) => {
  await page.goto('/sign-in');
  await page.getByRole('link', { name: /^Continue with/ }).click();
  await page.getByRole('button', { name: 'Refuse' }).click();
  await expect(page.getByText('Sign-in was cancelled.')).toBeVisible();
  await look(page, '21-sign-in-cancelled');
});

test('an answer of the provider that nobody asked for is refused', async ({ page }) => {
  await page.goto('/auth/callback?code=stolen&state=made-up');
  await expect(page.getByRole('link', { name: /^Continue with/ })).toBeVisible();
  await expect(page.getByText('Sign-in was refused.')).toBeVisible();
});

test('somebody without a role is told whom to ask, and gets no session', async ({ page }) => {
  await page.goto('/sign-in');
  await page.getByRole('link', { name: /^Continue with/ }).click();
  await page.getByRole('button', { name: PEOPLE.nobody.name }).click();
  await expect(page.getByText('You have no role here.')).toBeVisible();
  await look(page, '22-sign-in-without-role');
  await page.goto('/keys');
  await expect(page).toHaveURL(/\/sign-in/);
});

test('an operator sees and runs the own federation only', async ({ page }) => {
  await signIn(page, 'max');
  await page.goto('/federations');
  await expect(page.getByRole('link', { name: 'Gamma Keycloak' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Delta' })).toHaveCount(0);
  const register = page.getByRole('button', { name: 'Register federation' });
  await expect(register).toHaveAttribute('aria-disabled', 'true');
  await expect(register).toHaveAccessibleDescription('Needs the role admin.');
  await look(page, '23-federations-as-operator');
  expect((await page.goto('/federations/delta-other'))?.status()).toBe(404);
  expect((await page.goto('/federations/new'))?.status()).toBe(403);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('You may not see this');
  // The form is refused too, not only hidden.
  const posted = await page.request.post('/federations/delta-other/pause', { headers: { origin: PUBLIC_URL }, form: {}, maxRedirects: 0 });
  expect([403, 404]).toContain(posted.status());
});

test('a manager reads everything and archives nothing', async ({ page }) => {
  await signIn(page, 'rui');
  await page.goto('/federations');
  await expect(page.getByRole('link', { name: 'Gamma Keycloak' })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Delta', exact: true })).toBeVisible();
  await page.goto('/audit');
  await expect(page.getByRole('region', { name: 'Timeline' }).getByRole('listitem').first()).toBeVisible();
  const posted = await page.request.post('/federations/delta-other/archive', { headers: { origin: PUBLIC_URL }, form: {}, maxRedirects: 0 });
  expect(posted.status()).toBe(403);
});

test('a change that another site sends is refused', async ({ page }) => {
  await signIn(page, 'ana');
  for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }, { origin: 'null' }]) {
    const posted = await page.request.post('/federations/gamma-keycloak/pause', { headers, form: {}, maxRedirects: 0 });
    expect(posted.status(), JSON.stringify(headers)).toBe(403);
  }
  await page.goto('/federations/gamma-keycloak');
  await expect(page.getByRole('button', { name: 'Pause federation' })).toBeVisible();
});

test('a form that is refused comes back as it was left, with what to fix', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  await page.getByRole('textbox', { name: 'Name' }).fill('Taken');
  await page.getByRole('textbox', { name: /^Slug/ }).fill('Not A Slug');
  await page.getByRole('textbox', { name: 'Owners' }).fill('me');
  await page.getByRole('button', { name: 'Register federation' }).click();
  await expect(page.getByRole('alert')).toContainText('1 thing to fix');
  await expect(page.getByRole('textbox', { name: /^Slug/ })).toHaveAttribute('aria-invalid', 'true');
  await expect(page.getByRole('textbox', { name: 'Name' })).toHaveValue('Taken');
  await look(page, '24-form-refused');
});

test('a paused federation answers its provider 503 with Retry-After, and goes on when resumed', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/keys/new?federation=gamma-keycloak');
  const key = await issueKey(page, 'gamma-pause');
  const base = `${PUBLIC_URL}/scim/gamma-keycloak/v2`;
  await page.goto('/federations/gamma-keycloak');
  await page.getByRole('button', { name: 'Pause federation' }).click();
  await expect(page.getByText('Paused.', { exact: true })).toBeVisible();
  await look(page, '25-federation-paused');
  const held = await fetch(`${base}/Users`, { headers: { authorization: `Bearer ${key}` } });
  expect(held.status).toBe(503);
  expect(held.headers.get('retry-after')).toMatch(/^\d+$/);
  await page.getByRole('button', { name: 'Resume federation' }).click();
  expect((await scim(base, key, 'POST', '/Users', user('resumed'))).status).toBe(201);
});

test('the full directory asks for a justification; a reading key cannot write', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/keys/new?federation=gamma-keycloak');
  await page.getByRole('radio', { name: /^Full directory/ }).check();
  await page.getByRole('button', { name: 'Issue key' }).click();
  await expect(page.getByRole('alert')).toContainText(/justification/i);
  await page.getByRole('radio', { name: /^Read only/ }).check();
  const key = await issueKey(page, 'gamma-reader');
  const base = `${PUBLIC_URL}/scim/gamma-keycloak/v2`;
  expect((await scim(base, key, 'GET', '/Users')).status).toBe(200);
  expect((await scim(base, key, 'POST', '/Users', user('denied'))).status).toBe(403);
  // One federation's key opens no other: the answer is that of a base that does not exist.
  const foreign = await scim(`${PUBLIC_URL}/scim/delta-other/v2`, key, 'GET', '/Users');
  expect(foreign.status).toBe(404);
  expect(foreign).toEqual(await scim(`${PUBLIC_URL}/scim/no-such/v2`, key, 'GET', '/Users'));
});

test('the palette opens with Ctrl+K and leads to a page', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/federations');
  // Islands wake when the browser is idle; before that, a key press finds nobody.
  const find = page.getByRole('combobox', { name: 'Find' });
  await expect(async () => {
    await page.keyboard.press('Control+k');
    await expect(find).toBeVisible({ timeout: 500 });
  }).toPass();
  await expectAccessible(page, 'palette');
  await find.fill('gamma');
  await expect(page.getByRole('option', { name: /Gamma Keycloak/ }).first()).toBeVisible();
  await find.fill('audit');
  await find.press('Enter');
  await expect(page).toHaveURL(/\/audit$/);
});

test('the copy button says Copied once it is', async ({ page, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: PUBLIC_URL });
  await signIn(page, 'ana');
  await page.goto('/federations/gamma-keycloak');
  // Islands wake when the browser is idle; a click before that is lost.
  await expect(async () => {
    await page.getByRole('button', { name: 'Copy base URL' }).click({ timeout: 1000 });
    await expect(page.getByRole('button', { name: 'Copied' })).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 15_000 });
  await expect(page.getByRole('status').filter({ hasText: 'Copied' })).toHaveCount(1);
  expect(await pasted(page)).toBe(`${PUBLIC_URL}/scim/gamma-keycloak/v2`);
});

test('answers carry the headers that keep them in their place', async ({ page }) => {
  await signIn(page, 'ana');
  const answer = await page.goto('/keys');
  const headers = answer?.headers() ?? {};
  const policy = headers['content-security-policy'] ?? '';
  expect(policy).toMatch(/script-src [^;]*'nonce-[^']+'/);
  expect(policy).toContain("'wasm-unsafe-eval'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain('unsafe-inline');
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['cache-control']).toContain('no-store');
  const cookies = await page.context().cookies(PUBLIC_URL);
  const session = cookies.find((cookie) => cookie.httpOnly && cookie.sameSite === 'Lax');
  expect(session, 'the session cookie is HttpOnly and Lax').toBeDefined();

  const sheet = await page.locator('link[rel=stylesheet]').getAttribute('href');
  const asset = await fetch(`${PUBLIC_URL}${sheet}`, { headers: { 'accept-encoding': 'br' } });
  expect(asset.status).toBe(200);
  expect(asset.headers.get('cache-control')).toContain('immutable');
  expect(asset.headers.get('content-encoding')).toBe('br');
});
