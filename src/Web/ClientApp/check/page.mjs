// Looks at the page of a running server in Chromium as a person would, and fails where it does not hold:
//   npm run check:page -- http://127.0.0.1:8080/ [--shots folder] [--browser /usr/bin/chromium] [--still]
// Asserts that klines are drawn, that the chart moves within ten seconds (unless --still: a replay that has ended), that intervals, symbols, history and
// themes work, and that the console stays free of errors and warnings.

import { mkdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

export const BROWSER_ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update", "--disable-sync", "--disable-quic",
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { shots: { type: "string" }, browser: { type: "string", default: process.env.CHROMIUM ?? "/usr/bin/chromium" }, still: { type: "boolean", default: false } },
});
const address = new URL(positionals[0] ?? "http://127.0.0.1:8080/");
const failures = [];
const complaints = [];
const origins = new Set();
const check = (holds, sentence) => {
  console.log(`${holds ? "ok  " : "FAIL"} ${sentence}`);
  if (!holds) failures.push(sentence);
};

const browser = await chromium.launch({ executablePath: values.browser, args: BROWSER_ARGUMENTS });
try {
  if (values.shots) await mkdir(values.shots, { recursive: true });
  for (const [name, width, height, colorScheme] of [["wide-dark", 1440, 900, "dark"], ["wide-light", 1440, 900, "light"], ["phone", 390, 844, "dark"], ["small-phone", 360, 640, "light"]]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: 1, hasTouch: width < 700 });
    const page = await context.newPage();
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(`${name}: ${message.text()}`));
    page.on("pageerror", (error) => complaints.push(`${name}: ${error}`));
    page.on("request", (request) => origins.add(new URL(request.url()).origin));
    const started = performance.now();
    await page.goto(address.href);
    const drawn = await page.waitForFunction(() => window.__kline?.klines().length > 0, undefined, { timeout: 15_000 }).then(() => true, () => false);
    check(drawn, `${name}: klines are drawn (${Math.round(performance.now() - started)} ms)`);
    if (!drawn) continue;
    await page.waitForFunction(() => window.__kline.state.link === "connected" && window.__kline.state.feed !== undefined);
    await page.waitForTimeout(700);
    check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: nothing is wider than the page`);
    check(await page.evaluate(colours) > 3, `${name}: the canvas is painted`);
    if (values.shots) await page.screenshot({ path: `${values.shots}/${name}.png` });
    if (name === "wide-dark") await tour(page);
    await context.close();
  }

  check(complaints.length === 0, `no error or warning on the console${complaints.length ? `: ${complaints.slice(0, 5).join(" | ")}` : ""}`);
  check([...origins].every((origin) => origin === address.origin), `no request leaves the server (${[...origins].join(", ")})`);
} finally {
  await browser.close();
}

if (failures.length > 0) {
  console.error(`${failures.length} failed`);
  process.exitCode = 1;
}

/** Runs in the page: how many different colours its largest canvas shows. */
function colours() {
  const canvas = [...document.querySelectorAll("[data-focused] .chart canvas")].sort((a, b) => b.width * b.height - a.width * a.height)[0];
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let i = 0; i < data.length; i += 4) found.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
  return found.size;
}

async function tour(page) {
  const state = () => page.evaluate(() => ({ symbol: __kline.symbol, interval: __kline.interval, ...__kline.state, count: __kline.klines().length, oldest: __kline.klines()[0]?.openTime }));
  const settled = (symbol, interval) => page.waitForFunction(([s, i]) => __kline.symbol === s && __kline.interval === i && __kline.klines().length > 0 && __kline.klines().every((k) => k.interval === i), [symbol, interval], { timeout: 10_000 }).then(() => true, () => false);
  if (!values.still) {
    const before = await page.evaluate(() => __kline.state.updates);
    check(await page.waitForFunction((updates) => __kline.state.updates > updates, before, { timeout: 10_000 }).then(() => true, () => false), "the chart moves within 10 s");
  }

  const klines = await page.evaluate(() => __kline.klines());
  check(klines.every((k, i) => i === 0 || klines[i - 1].openTime < k.openTime), "open times ascend without doubles");
  check(klines.every((k) => k.low <= Math.min(k.open, k.close) && k.high >= Math.max(k.open, k.close)), "low and high enclose open and close");
  check(/\d/.test(await page.title()), `the title shows the price: ${await page.title()}`);

  const { symbol } = await state();
  for (const interval of ["s1", "m5", "h1", "m1"]) {
    await page.click(`[data-interval="${interval}"]`);
    check(await settled(symbol, interval), `interval ${interval} shows klines of its own`);
    check(new URL(page.url()).searchParams.get("interval") === interval, `interval ${interval} is in the address`);
  }

  await page.goBack();
  check(await settled(symbol, "h1"), "back shows h1 again");
  await page.goForward();
  check(await settled(symbol, "m1"), "forward shows m1 again");

  await page.keyboard.press("/");
  await page.waitForSelector("#search-list [role=option]");
  check(await page.waitForFunction(() => [...document.querySelectorAll(".option-price")].some((each) => /\d/.test(each.textContent)), undefined, { timeout: 5_000 }).then(() => true, () => false), "the search shows prices");
  if (values.shots) await page.screenshot({ path: `${values.shots}/wide-dark-search.png` });
  const options = await page.locator("#search-list [role=option]").count();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  const other = options > 1 ? await page.waitForFunction((s) => __kline.symbol !== s && __kline.klines().length > 0, symbol, { timeout: 10_000 }).then(() => true, () => false) : true;
  check(other, "the search opens another symbol by keyboard");

  // History: drag to the right until the oldest kline moves or the server has no older one.
  await page.click('[data-interval="s1"]');
  const here = await state();
  await settled(here.symbol, "s1");
  const first = await state();
  const box = await page.locator("[data-focused] .chart").boundingBox();
  for (let i = 0; i < 20; i++) {
    await page.mouse.move(box.x + 200, box.y + 250);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 160, box.y + 250, { steps: 6 });
    await page.mouse.up();
    await page.waitForTimeout(80);
  }

  const last = await state();
  check(last.oldest < first.oldest || last.historyComplete, `scrolling to the left loads history (${first.count} -> ${last.count} klines)`);
  const after = await page.evaluate(() => __kline.klines());
  check(after.every((k, i) => i === 0 || after[i - 1].openTime < k.openTime), "history joins without doubles");
  await page.mouse.move(box.x + 600, box.y + 300);
  await page.waitForTimeout(150);
  check(await page.locator("[data-focused] .latest").isVisible(), "the button back to the newest kline is there");
  if (values.shots) await page.screenshot({ path: `${values.shots}/wide-dark-history.png` });
  await page.click("[data-focused] .latest");
  await page.waitForFunction(() => document.querySelector("[data-focused] .latest").hidden, undefined, { timeout: 3_000 }).catch(() => {});
  check(await page.locator("[data-focused] .latest").isHidden(), "the button goes to the newest kline");

  // Several charts: two more, of the same symbol and of another interval, each with klines of its own, in the address, and closed again.
  await page.click("#add-chart");
  await page.click("#add-chart");
  const apart = await page.waitForFunction(() => __kline.charts.length === 3 && __kline.charts.every(({ interval, klines }) => klines.length > 0 && klines.every((k) => k.interval === interval)), undefined, { timeout: 10_000 }).then(() => true, () => false);
  check(apart, "three charts side by side show klines of their own");
  await page.waitForTimeout(300);
  if (values.shots) await page.screenshot({ path: `${values.shots}/wide-dark-charts.png` });
  const shown = await page.evaluate(() => __kline.charts.map(({ symbol, interval }) => `${symbol}:${interval}`));
  await page.reload();
  const again = await page.waitForFunction((all) => JSON.stringify(__kline.charts.map(({ symbol, interval }) => `${symbol}:${interval}`)) === JSON.stringify(all), shown, { timeout: 10_000 }).then(() => true, () => false);
  check(again, "the address names all charts");
  for (let left = 2; left > 0; left--) await page.locator("[data-part=close]").last().click();
  check((await page.evaluate(() => __kline.charts.length)) === 1, "charts are closed");
  await page.click("#theme");
  await page.reload();
  check((await page.evaluate(() => document.documentElement.dataset.theme)) === "light", "the chosen theme is remembered");
}
