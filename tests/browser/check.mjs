// Looks at pages in a real browser. Reads a list of checks as JSON from its arguments' file, and prints what it saw as JSON.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const { executable, base, pictures, pages } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const browser = await chromium.launch({ executablePath: executable, args: ['--no-sandbox'] });
const seen = [];
for (const { path, name, dark, width, loads = 1 } of pages) {
    const context = await browser.newContext({
        colorScheme: dark ? 'dark' : 'light',
        viewport: { width, height: 900 },
        javaScriptEnabled: true,
    });
    const page = await context.newPage();
    const complaints = [];
    const asked = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('dialog', async (dialog) => {
        complaints.push(`dialog: ${dialog.message()}`);
        await dialog.dismiss();
    });
    page.on('request', (request) => asked.push(request.url()));
    const answer = await page.goto(base + path, { waitUntil: 'load' });
    // One that moves asks for itself again.
    for (let load = 1; load < loads; load += 1) {
        await page.waitForEvent('load');
    }
    await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: false });
    const facts = await page.evaluate(() => ({
        title: document.title,
        lang: document.documentElement.lang,
        background: getComputedStyle(document.body).backgroundColor,
        colour: getComputedStyle(document.body).color,
        overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth,
        rows: document.querySelectorAll('main > .wide > table > tbody > tr').length,
        full: document.querySelectorAll('main > details').length,
        opened: document.querySelectorAll('main > details[open]').length,
        pictures: document.querySelectorAll('svg[role=img][aria-label]').length,
        scripts: document.scripts.length,
        images: document.images.length,
        text: document.body.innerText,
        hostile: window.hostile === true,
    }));
    // By keyboard alone: skip link first, then from element to element, and a summary opens by Enter.
    await page.keyboard.press('Tab');
    const first = await page.evaluate(() => document.activeElement.textContent);
    const summary = page.locator('main > details > summary').first();
    let toggled = null;
    if (await summary.count()) {
        const before = await page.evaluate(() => document.querySelector('main > details').open);
        await summary.focus();
        await page.keyboard.press('Enter');
        toggled = before !== (await page.evaluate(() => document.querySelector('main > details').open));
    }
    seen.push({ name, status: answer.status(), complaints, asked, first, toggled, ...facts });
    await context.close();
}
await browser.close();
process.stdout.write(JSON.stringify(seen));
