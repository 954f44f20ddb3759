// Looks at the operations page with a real browser and says what it saw. It judges nothing: the tests in Rust do.
//
// stdin: {origin, chromium, shots, visits: [{path, scheme, width, axe, shot, keys}]}; `shots` is a directory for screenshots.
// stdout: one JSON object for each visit, in order; see `visit` below.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.BROWSER_DRIVER, "package.json"));
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

// Rules of the standard up to 2.2 AA, and what axe calls best practice.
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// What a person finds on the page: headings, texts of tables with the exact values behind them, gauges, and whether anything sticks out.
function seen() {
  const text = (element) => element.innerText.replace(/\s+/g, " ").trim();
  const cell = (element) => ({ text: text(element), value: element.querySelector("data")?.value ?? null });
  const rows = (table) => [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => [...row.cells].map(cell));
  const named = (elements) => Object.fromEntries(elements.map((element) => [element.id || element.caption?.innerText || "", rows(element)]));
  for (const details of document.querySelectorAll("details")) details.open = true;
  return {
    title: document.title,
    heading: text(document.querySelector("h1")),
    main: text(document.querySelector("main")),
    tables: named([...document.querySelectorAll("table")]),
    figures: [...document.querySelectorAll("dl.figures > div")].map((one) => [text(one.querySelector("dt")), cell(one.querySelector("dd"))]),
    times: [...document.querySelectorAll("main time")].map((time) => time.dateTime),
    gauges: [...document.querySelectorAll("meter")].map((one) => ({ name: one.getAttribute("aria-label"), value: one.value, max: one.max })),
    links: [...document.querySelectorAll("main a")].map((link) => ({ text: text(link), href: link.getAttribute("href") })),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    scripts: document.scripts.length,
  };
}

// Where the keyboard is, and whether that can be seen.
function focused() {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  return { tag: element.tagName, id: element.id, text: element.innerText?.slice(0, 60) ?? "", visible: outlined && box.right > 0 && box.bottom > 0 };
}

async function press(page, keys) {
  const stops = [];
  for (const key of keys) {
    if (key.type !== undefined) {
      await page.keyboard.type(key.type);
    } else if (key.until !== undefined) {
      // A page has fewer stops than this.
      for (let tries = 0; tries < 40; tries += 1) {
        await page.keyboard.press("Tab");
        stops.push(await page.evaluate(focused));
        if (stops.at(-1).id === key.until || stops.at(-1).text === key.until) break;
      }
    } else if (key.go !== undefined) {
      await Promise.all([page.waitForEvent("load"), page.keyboard.press(key.go)]);
    } else {
      await page.keyboard.press(key.press);
      stops.push(await page.evaluate(focused));
    }
  }
  return stops;
}

async function visit(browser, task, one) {
  const context = await browser.newContext({
    colorScheme: one.scheme ?? "light",
    reducedMotion: "reduce",
    viewport: { width: one.width ?? 1280, height: 900 },
  });
  const page = await context.newPage();
  const told = [], asked = [];
  page.on("console", (message) => told.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => told.push(`error: ${error.message}`));
  page.on("request", (request) => asked.push(request.url()));
  const answer = await page.goto(task.origin + one.path, { waitUntil: "networkidle" });
  const stops = one.keys === undefined ? [] : await press(page, one.keys);
  // Before anything is unfolded: what a visitor sees first.
  if (one.shot !== undefined) await page.screenshot({ path: join(task.shots, `${one.shot}.png`), fullPage: true });
  const found = await page.evaluate(seen);
  let violations = [];
  if (one.axe) {
    const result = await new AxeBuilder({ page }).withTags(RULES).analyze();
    violations = result.violations.map(({ id, nodes }) => ({ id, nodes: nodes.map((node) => `${node.target}: ${node.failureSummary}`) }));
  }
  const address = page.url();
  await context.close();
  return { status: answer.status(), address, ...found, stops, told, asked, violations };
}

const task = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: task.chromium, args: FLAGS });
const visits = [];
try {
  for (const one of task.visits) visits.push(await visit(browser, task, one));
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(visits));
