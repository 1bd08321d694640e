// A key in wrong hands, from the click to the first good request with its successor.
import { look } from '../../fixtures/look.ts';
import { startReceiver } from '../../fixtures/receiver.ts';
import { expect, noteDelivered, signIn, test } from '../../fixtures/test.ts';
import { federationWithReceiver } from '../../fixtures/turn.ts';

test('a compromise is answered in one action, and its case measures it', async ({ page }) => {
  test.setTimeout(240_000);
  const receiver = await startReceiver();
  try {
    await signIn(page, 'ana');
    const federation = { slug: 'omega-okta', name: 'Omega Okta', provider: 'okta' };
    const { key, consumer } = await federationWithReceiver(page, federation, receiver, 60);
    await page.getByRole('link', { name: 'Done' }).click();
    await page.getByRole('link', { name: 'Report compromise' }).click();
    await look(page, '60-compromise');
    await page.getByRole('textbox', { name: /^How you know/ }).fill('Found in a public repository');
    const arrives = receiver.next();
    await page.getByRole('button', { name: 'Stop and replace omega-okta-1' }).click();

    // The thief and the provider are held off alike; nothing is lost.
    expect(await consumer.work(key)).toBe(503);
    const { secret } = await arrives;
    noteDelivered(secret);
    await expect(page).toHaveURL(/\/cases\//);
    await expect(page.getByText('Found in a public repository').first()).toBeVisible();
    await look(page, '61-case-open');

    expect(await consumer.work(secret)).toBe(200);
    await expect(async () => {
      await page.reload();
      await expect(page.getByText('Answered.', { exact: true })).toBeVisible({ timeout: 1000 });
    }).toPass({ timeout: 30_000 });
    await look(page, '62-case-answered');
    // The old key opens nothing any more, for anybody.
    await expect.poll(() => consumer.work(key), { timeout: 20_000 }).toBe(401);
    expect(await consumer.work(secret)).toBe(200);
    await page.goto('/rotation?federation=omega-okta');
    await expect(page.getByRole('region', { name: 'Ended in the last seven days' })).toContainText('Omega Okta');
    await page.goto('/audit?federation=omega-okta');
    await look(page, '63-audit-of-a-compromise');
  } finally {
    await receiver.stop();
  }
});
