// Makes the pictures of compare-runs.md again, from the real pages.
//
//   make run PROFILE=tiny && ADPRIOR_LLM__EPOCHS=2 make run PROFILE=tiny && ADPRIOR_RANKER__MAX_DEPTH=3 make run PROFILE=tiny
//   make ui PROFILE=tiny                                  # in another terminal
//   npm install --prefix build playwright-core            # and Chromium by your package manager
//   NODE_PATH=build/node_modules node docs/guides/screenshots.mjs chromium docs/guides/images
//
// Arguments: the Chromium program, the directory for the pictures; MLFLOW and DAGSTER (environment) are the pages' addresses.

import { createRequire } from 'node:module';
import { execFileSync } from 'node:child_process';

const { chromium } = createRequire(import.meta.url)('playwright-core');
const [program, directory] = process.argv.slice(2);
const mlflow = process.env.MLFLOW ?? 'http://127.0.0.1:5000';
const dagster = process.env.DAGSTER ?? 'http://127.0.0.1:3000';

const api = async (path, body) => {
  const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return (await fetch(`${mlflow}/api/2.0/mlflow/${path}`, request)).json();
};
const experiments = await api('experiments/search', { max_results: 50 });
const id = Object.fromEntries(experiments.experiments.map((e) => [e.name, e.experiment_id]));
const found = await api('runs/search', { experiment_ids: [id.evaluation], order_by: ['attributes.start_time DESC'] });
const runs = found.runs.map((run) => run.info.run_id);

const executablePath = execFileSync('which', [program]).toString().trim();
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 760 } });
const open = async (address, seconds = 7) => {
  await page.goto(address);
  await page.waitForTimeout(1000 * seconds);
};
const out = experiments.experiments.find((e) => e.name === 'evaluation').artifact_location.replace(/\/[^/]*$/, '');
// Before each picture: paths of this machine become var/, and the assistant's button goes.
const shoot = async (name) => {
  await page.evaluate((place) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = texts.nextNode()); ) node.data = node.data.replaceAll(place, 'var');
    for (const node of document.querySelectorAll('button, div')) {
      const box = node.getBoundingClientRect();
      const small = box.width > 0 && box.width < 90 && innerWidth - box.right < 60 && innerHeight - box.bottom < 60;
      if (small && getComputedStyle(node).position === 'fixed') node.style.display = 'none';
    }
  }, out);
  await page.screenshot({ path: `${directory}/${name}.png` });
};

// The assistant's panel and the GenAI menu are not what the guide is about.
await open(`${mlflow}/#/experiments`);
await page.getByText('Model training', { exact: true }).first().click();
const assistant = page.locator('button[aria-label*="lose"]').first();
if (await assistant.count()) await assistant.click();
await page.waitForTimeout(1000);

await open(`${mlflow}/#/experiments/${id.evaluation}/runs`);
await shoot('mlflow-runs');

await page.getByText(/raw_logs/).first().click();
await page.waitForTimeout(2500);
await shoot('mlflow-dataset');

const compared = `runs=${JSON.stringify(runs)}&experiments=${JSON.stringify([id.evaluation])}`;
await open(`${mlflow}/#/compare-runs?${compared}`, 8);
await shoot('mlflow-parallel-coordinates');
for (const only of await page.getByText('Show diff only').all()) await only.click();
await page.waitForTimeout(1500);
await page.getByText('Run details').scrollIntoViewIfNeeded();
await page.getByText('Parameters', { exact: true }).last().evaluate((node) => node.scrollIntoView({ block: 'start' }));
await page.waitForTimeout(1000);
await shoot('mlflow-compare');

await page.setViewportSize({ width: 1280, height: 1000 });
await open(`${mlflow}/#/experiments/${id['advertiser-llm']}/runs?compareRunsMode=CHART`, 8);
await page.getByPlaceholder('Search metric charts').fill('loss');
await page.waitForTimeout(2500);
await shoot('mlflow-loss');
await page.setViewportSize({ width: 1280, height: 760 });

await open(`${mlflow}/#/experiments/${id.evaluation}/runs/${runs[0]}`);
await shoot('mlflow-run');
await open(`${mlflow}/#/experiments/${id.evaluation}/runs/${runs[0]}/artifacts/report.html`);
await shoot('mlflow-report');
await open(`${mlflow}/#/models/ranker`);
await page.getByText('Versions', { exact: true }).evaluate((node) => node.scrollIntoView({ block: 'start' }));
await page.waitForTimeout(1000);
await shoot('mlflow-versions');

await open(`${dagster}/assets/evaluation`, 10);
await page.getByPlaceholder('Filter metadata keys').fill('mlflow');
await page.waitForTimeout(1500);
await shoot('dagster-asset');
await browser.close();
