// By keyboard alone: the main job, the palette, the single keys and their switch; and where the system decides colours.
import type { Locator, Page } from '@playwright/test';
import { expectAccessible } from '../../fixtures/look.ts';
import { PUBLIC_URL } from '../../fixtures/ledger.ts';
import { scim, user } from '../../fixtures/scim.ts';
import { expect, readShownKey, signIn, test } from '../../fixtures/test.ts';

/** Presses Tab until this has the focus, and sees that the focus shows. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  await expect(target).toBeVisible();
  for (let presses = 0; presses < 120; presses += 1) {
    if (await target.evaluate((element) => element === document.activeElement)) {
      const shown = await target.evaluate((element) => {
        const outlined = (one: Element | null) => one !== null && getComputedStyle(one).outlineStyle !== 'none';
        return outlined(element) || outlined(element.closest('.opt'));
      });
      expect(shown, `the focus on ${target} shows`).toBe(true);
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not reach ${target}`);
}

/** Tab to it, then a key. */
async function press(page: Page, target: Locator, key = 'Enter'): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press(key);
}

/** Tab to a field, then type. */
async function type(page: Page, target: Locator, text: string): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press('Control+a');
  await page.keyboard.type(text);
}

/** Presses keys until a page is there: islands wake when the browser is idle. */
async function keys(page: Page, sequence: string[], address: RegExp): Promise<void> {
  await expect(async () => {
    for (const key of sequence) await page.keyboard.press(key);
    await page.waitForURL(address, { timeout: 1000 });
  }).toPass({ timeout: 20_000 });
}

test('the main job is done by keyboard alone', async ({ page }) => {
  test.setTimeout(240_000);
  await page.goto('/sign-in');
  await press(page, page.getByRole('link', { name: /^Continue with/ }));
  await press(page, page.getByRole('button', { name: 'Ana Admin' }));
  await page.waitForURL(`${PUBLIC_URL}/**`);

  await keys(page, ['g', 'f'], /\/federations$/);
  await keys(page, ['c'], /\/federations\/new$/);
  await type(page, page.getByRole('textbox', { name: 'Name' }), 'Keys Only');
  await type(page, page.getByRole('textbox', { name: /^Slug/ }), 'keys-only');
  await type(page, page.getByRole('textbox', { name: 'Owners' }), 'it@acme.example');
  await press(page, page.getByRole('button', { name: 'Register federation' }));
  await page.waitForURL(/\/keys-only\/setup$/);
  await press(page, page.getByRole('link', { name: 'Issue key' }));
  await type(page, page.getByRole('textbox', { name: 'Name' }), 'keys-only-1');
  await press(page, page.getByRole('button', { name: 'Issue key' }));
  await expect(page.getByRole('heading', { level: 1, name: 'Your new key keys-only-1' })).toBeVisible();
  const first = await readShownKey(page);
  const base = `${PUBLIC_URL}/scim/keys-only/v2`;
  expect((await scim(base, first, 'POST', '/Users', user('keys-only'))).status).toBe(201);
  await tabTo(page, page.getByRole('textbox', { name: 'Secret key, shown once' }));
  await press(page, page.getByRole('button', { name: 'Copy key' }), 'Space');
  await press(page, page.getByRole('link', { name: 'Done' }));

  await press(page, page.getByRole('link', { name: 'Rotate key' }));
  await press(page, page.getByRole('button', { name: 'Rotate key' }));
  await expect(page.getByRole('heading', { level: 1, name: /^Your new key/ })).toBeVisible();
  const second = await readShownKey(page);
  expect((await scim(base, second, 'GET', '/Users')).status).toBe(200);
  await press(page, page.getByRole('button', { name: 'Copy key' }), 'Space');
  await press(page, page.getByRole('link', { name: 'Done' }));
  await press(page, page.getByRole('region', { name: 'Rotation' }).getByRole('link', { name: 'keys-only-1', exact: true }));
  await press(page, page.getByRole('link', { name: 'Revoke key' }));
  await type(page, page.getByRole('textbox', { name: 'Why' }), 'Done by keyboard');
  await press(page, page.getByRole('button', { name: /^Revoke .* now$/ }));
  await expect(page.getByText('Revoked', { exact: true }).first()).toBeVisible();
  expect((await scim(base, first, 'GET', '/Users')).status).toBe(401);
});

test('the skip link leads past the rail, and the palette offers what this page can do and finds people', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/federations/new');
  await page.getByRole('textbox', { name: 'Name' }).fill('Found People');
  await page.getByRole('textbox', { name: /^Slug/ }).fill('found-people');
  await page.getByRole('textbox', { name: 'Owners' }).fill('it@acme.example');
  await page.getByRole('button', { name: 'Register federation' }).click();
  await page.goto('/keys/new?federation=found-people');
  await page.getByRole('button', { name: 'Issue key' }).click();
  const key = await readShownKey(page);
  expect((await scim(`${PUBLIC_URL}/scim/found-people/v2`, key, 'POST', '/Users', user('zelda.quist'))).status).toBe(201);

  await page.goto('/federations/found-people');
  await press(page, page.getByRole('link', { name: 'Skip to content' }));
  await expect(page.getByRole('main')).toBeFocused();
  const find = page.getByRole('combobox', { name: 'Find' });
  await expect(async () => {
    await page.keyboard.press('Control+k');
    await expect(find).toBeVisible({ timeout: 500 });
  }).toPass();
  await expect(page.getByRole('option').first()).toContainText('On this page');
  await page.keyboard.type('edit fed');
  await expect(page.getByRole('option').first()).toContainText('Edit federation');
  await find.fill('zelda');
  await expect(page.getByRole('option', { name: /zelda\.quist@acme\.example/ })).toContainText('User of Found People');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('zelda.quist@acme.example');
});

test('single keys have a list, leave fields alone, and can be switched off for good', async ({ page }) => {
  await signIn(page, 'ana');
  await page.goto('/keys');
  const list = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await expect(async () => {
    await page.keyboard.press('?');
    await expect(list).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 20_000 });
  await expectAccessible(page, 'the list of keys');
  await page.keyboard.press('Escape');
  await expect(list).toBeHidden();
  await page.keyboard.press('/');
  await expect(page.getByRole('searchbox', { name: 'Search' })).toBeFocused();
  // In a field they are letters.
  await page.keyboard.type('gf?');
  await expect(page.getByRole('searchbox', { name: 'Search' })).toHaveValue('gf?');
  await page.keyboard.press('Tab');

  await page.getByRole('button', { name: /^Shortcuts/ }).click();
  await list.getByRole('checkbox').uncheck();
  await list.getByRole('button', { name: 'Close' }).click();
  await page.reload();
  // The palette is no single key: once it opens, the islands are awake.
  await expect(async () => {
    await page.keyboard.press('Control+k');
    await expect(page.getByRole('combobox', { name: 'Find' })).toBeVisible({ timeout: 500 });
  }).toPass();
  await page.keyboard.press('Escape');
  for (const key of ['g', 'f', '?']) await page.keyboard.press(key);
  await expect(list).toBeHidden();
  await expect(page).toHaveURL(/\/keys$/);
});

test('where the system decides the colours, states keep a line and motion is still', async ({ page }) => {
  await signIn(page, 'ana');
  await page.emulateMedia({ forcedColors: 'active', reducedMotion: 'reduce' });
  await page.goto('/federations');
  const line = (locator: Locator, property: string) =>
    locator.first().evaluate((element, name) => getComputedStyle(element).getPropertyValue(name), property);
  expect(await line(page.locator('.st'), 'border-top-style')).toBe('solid');
  expect(await line(page.locator('nav[aria-label=Main] [aria-current=page]'), 'outline-style')).toBe('solid');
  const moves = await line(page.locator('.btn'), 'transition-duration');
  expect(moves.split(',').every((one) => Number.parseFloat(one) === 0), moves).toBe(true);
});

test('at 200 % of zoom nothing is cut off', async ({ browser }) => {
  // Half of a window of 1280 px, each of its pixels doubled.
  const context = await browser.newContext({ baseURL: PUBLIC_URL, viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 });
  const page = await context.newPage();
  await signIn(page, 'ana');
  for (const path of ['/', '/federations', '/keys', '/rotation', '/findings', '/usage', '/audit', '/settings']) {
    await page.goto(path);
    const wide = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    expect(wide, path).toBe(0);
  }
  await context.close();
});
