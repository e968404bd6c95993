// report.html in a real browser: search, sort, keyboard, dark mode, paper, hostile values, and that it asks nobody for anything.
// Arguments: the recon binary. RECON_TEST_CHROMIUM names the browser. Closes with "browser: N passed, N failed".
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { createRequire } from 'node:module';

const { chromium } = createRequire(path.join(process.env.RECON_TEST_PLAYWRIGHT ?? '.', 'x.js'))('playwright-core');
const recon = path.resolve(process.argv[2]);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'recon-page.'));
const hostile = ['<script>window.hit=1</script>', '</script><img src=x onerror="window.hit=1">', '=cmd()', 'a\u2028b', '\u202eabc', '"><b>', 'line\nline'];
const spec = `[datasets.a]
kind = "csv"
uri = "a.csv"
[datasets.b]
kind = "csv"
uri = "b.csv"
[entities."<i>image"]
source = "a"
target = "b"
key = ["id"]
`;

// A diff of two CSV files whose differing values are these; returns the page's URL.
function page(name, values) {
  const at = path.join(folder, name);
  fs.mkdirSync(at);
  const csv = (text) => `"${text.replaceAll('"', '""')}"`;
  const rows = (end) => `id,<b>n\n${values.map((value, i) => `${i},${csv(value + end)}\n`).join('')}`;
  fs.writeFileSync(path.join(at, 'recon.toml'), spec);
  fs.writeFileSync(path.join(at, 'a.csv'), `${rows('')}${values.length + 3},only\n`);
  fs.writeFileSync(path.join(at, 'b.csv'), rows('x'));
  const run = (...args) => { try { execFileSync(recon, [...args, '--no-progress'], { cwd: at, stdio: 'pipe' }); } catch (error) { if (error.status !== 1) throw error; } };
  run('stage');
  run('diff', '--out', 'out');
  return pathToFileURL(path.join(at, 'out/report.html')).href;
}

const browser = await chromium.launch({
  executablePath: process.env.RECON_TEST_CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync', '--no-first-run'],
});
let passed = 0, failed = 0;

async function test(name, url, body, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const tab = await context.newPage();
  const said = [], asked = [];
  tab.on('console', (message) => said.push(message.text()));
  tab.on('pageerror', (error) => said.push(error.message));
  tab.on('request', (request) => asked.push(request.url()));
  try {
    await tab.goto(url);
    await tab.locator('tr.record').first().waitFor();
    await body(tab);
    assert.deepEqual(said, [], 'the console is silent');
    assert.deepEqual(asked, [url], 'nothing but the page itself is asked for');
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
  await context.close();
}

const column = (tab, n) => tab.locator('tr.record').evaluateAll((rows, n) => rows.map((row) => row.cells[n].textContent), n);
const found = (tab) => tab.locator('output').textContent();
const told = (tab, hasText) => tab.locator('output').filter({ hasText }).waitFor();
const ground = (tab) => tab.evaluate(() => getComputedStyle(document.body).backgroundColor);

try {
  const odd = page('odd', hostile);
  const many = page('many', Array.from({ length: 100_000 }, (_, i) => `v${(i * 7919) % 100_000}`));

  await test('hostile values are text', odd, async (tab) => {
    const values = await column(tab, 5);
    assert.deepEqual(values.slice(0, 3), hostile.slice(0, 3));
    assert.equal(values[3], 'aU+2028b');
    assert.equal(values[4], 'U+202Eabc');
    assert.equal(await tab.evaluate(() => window.hit), undefined);
    assert.equal(await tab.locator('main b, main img, main i, main script').count(), 0);
    await tab.locator('tr.record').nth(1).click();
    assert.equal(await tab.locator('.detail pre').first().textContent(), hostile[1]);
  });

  await test('search and sort', odd, async (tab) => {
    assert.equal(await found(tab), '8 of 8');
    await tab.fill('#search', 'CMD()');
    await told(tab, /^1 of 8$/);
    assert.deepEqual(await column(tab, 2), ['2']);
    await tab.fill('#search', '');
    await told(tab, /^8 of 8$/);
    const key = tab.getByRole('button', { name: 'Key' });
    await key.click();
    assert.equal(await tab.locator('th[aria-sort]').getAttribute('aria-sort'), 'ascending');
    await key.click();
    assert.equal(await tab.locator('th[aria-sort]').getAttribute('aria-sort'), 'descending');
    assert.deepEqual((await column(tab, 2)).slice(0, 3), ['10', '6', '5'], 'numbers by their size');
    await tab.getByLabel('What').selectOption({ label: 'missing' });
    assert.deepEqual(await column(tab, 2), ['10']);
  });

  await test('100,000 rows, of which few are in the page', many, async (tab) => {
    assert.match(await tab.locator('.records').textContent(), /1 more are left out/);
    assert.equal(await tab.locator('[role=grid]').getAttribute('aria-rowcount'), '100001');
    assert.ok(await tab.locator('tr.record').count() < 100);
    await tab.locator('.grid').focus();
    await tab.keyboard.press('End');
    const last = tab.locator('tr.record[aria-rowindex="100001"]');
    await last.waitFor();
    assert.equal(await last.evaluate((row) => row === document.activeElement), true);
    assert.ok(await last.evaluate((row) => row.getBoundingClientRect().bottom <= row.closest('.grid').getBoundingClientRect().bottom + 1), 'it is in sight');
    await tab.getByRole('button', { name: 'Source' }).click();
    assert.equal((await column(tab, 5))[0], 'v0');
    await tab.fill('#search', 'v99999');
    await told(tab, /^1 of/);
  });

  await test('the keyboard is enough', odd, async (tab) => {
    await tab.keyboard.press('Tab');
    assert.equal(await tab.evaluate(() => document.activeElement.textContent), 'Skip to the report');
    await tab.keyboard.press('Enter');
    assert.equal(await tab.evaluate(() => document.activeElement.id), 'main');
    await tab.locator('.grid').focus();
    assert.notEqual(await tab.locator('.grid').evaluate((node) => getComputedStyle(node).outlineStyle), 'none', 'the focus is seen');
    await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('ArrowDown');
    assert.equal(await tab.locator('tr[aria-selected=true]').getAttribute('aria-rowindex'), '3');
    await tab.keyboard.press('Enter');
    assert.equal(await tab.locator('.detail').isVisible(), true);
    await tab.keyboard.press('Escape');
    assert.equal(await tab.locator('.detail').isVisible(), false);
  });

  await test('landmarks and names', odd, async (tab) => {
    for (const role of ['banner', 'main', 'contentinfo', 'grid', 'search']) assert.equal(await tab.getByRole(role).count(), 1, role);
    assert.equal(await tab.locator('h1').count(), 1);
    assert.equal(await tab.locator('input:not([aria-label]), select:not([aria-label])').evaluateAll((all) => all.filter((one) => !one.labels.length).length), 0);
  });

  // Contrast as WCAG 2.2 computes it, of every text that is shown: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
  const faint = (tab) => tab.evaluate(() => {
    const parse = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
    const light = (rgb) => { const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const under = (node) => { for (let at = node; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
    const bad = [];
    for (const node of document.querySelectorAll('body *')) {
      const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
      if (!own || !node.checkVisibility() || node.closest('script, style, option, noscript')) continue;
      const [a, b] = [light(parse(getComputedStyle(node).color).slice(0, 3)), light(under(node))].sort((x, y) => y - x);
      if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(`${node.tagName}.${node.className}: ${node.textContent.slice(0, 30)} ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
    }
    return bad;
  });
  for (const colorScheme of ['light', 'dark']) {
    await test(`contrast, ${colorScheme}`, odd, async (tab) => assert.deepEqual(await faint(tab), []), { colorScheme });
  }

  await test('light and dark', odd, async (tab) => {
    const dark = await ground(tab);
    await tab.getByLabel('Colours').selectOption('light');
    const light = await ground(tab);
    assert.notEqual(dark, light);
    await tab.emulateMedia({ colorScheme: 'light' });
    await tab.getByLabel('Colours').selectOption('dark');
    assert.equal(await ground(tab), dark);
  }, { colorScheme: 'dark' });

  await test('on paper there are rows and no controls', odd, async (tab) => {
    await tab.emulateMedia({ media: 'print' });
    assert.equal(await tab.locator('.paper tbody tr').count(), 8);
    assert.equal(await tab.locator('.paper').isVisible(), true);
    assert.equal(await tab.locator('.grid').isVisible(), false);
    assert.equal(await tab.locator('#search').isVisible(), false);
  });
} finally {
  await browser.close();
  fs.rmSync(folder, { recursive: true, force: true });
}
console.log(`browser: ${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
