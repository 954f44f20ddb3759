// A gateway in small: one video under quota, made by the first of several providers that can.
//
// Start a server with `genquota serve`, then, in this directory:
//
//     npm ci
//     node gateway.js
//
// GENQUOTA_SERVER is `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`; GENQUOTA_TOKEN is a bearer token. For TLS, GENQUOTA_CA
// is a file with the certificates to trust, GENQUOTA_CLIENT_CERT and GENQUOTA_CLIENT_KEY are for mTLS.

import { randomUUID } from 'node:crypto';

import { Denied, Quota, QuotaError, named } from './quota.js';

class ProviderError extends Error {}

const videoWork = (seconds) => ({ items: [{ measures: { seconds: String(seconds) }, attributes: { resolution: '720p' } }] });

/** Makes one video with the first provider that can, and returns it with what it was charged. Throws Denied or ProviderError. */
async function makeVideo(quota, providers, subject, seconds) {
  const targets = Object.keys(providers).map((name) => {
    const [provider, model] = name.split('/');
    return { provider, model };
  });
  return quota.generation({ subject, action: 'video.generate', targets, work: videoWork(seconds) }, async (generation) => {
    let last;
    for await (const target of generation.attempts()) {
      try {
        const video = await providers[named(target)](seconds);
        return { video, charged: await generation.commit(videoWork(video.seconds)) };
      } catch (error) {
        if (error.name === 'TimeoutError') {
          // It may be billed all the same: an estimate of that is booked.
          generation.failed('OUTCOME_UNKNOWN');
        } else if (!(error instanceof ProviderError)) {
          throw error;
        }
        last = error;
      }
    }
    throw last;
  });
}

async function overloaded() {
  throw new ProviderError('fal/wan-2.2 is overloaded');
}

async function silent() {
  throw new DOMException('fal/wan-2.2 gave no answer in time', 'TimeoutError');
}

async function obliging(seconds) {
  return { seconds, url: 'https://videos.example/1' };
}

const quota = Quota.ofEnvironment();
const subject = `visitor-${randomUUID()}`;

const { charged } = await makeVideo(quota, { 'fal/wan-2.2': overloaded, 'runway/gen4-turbo': obliging }, subject, 4);
const attempt = charged.attempts.at(-1);
console.log(`made by ${named(attempt.target)}: ${charged.unitsCommitted} credits, ${charged.costCommitted} ${charged.currency} (${attempt.costShift} more than planned)`);

for (const provider of [overloaded, silent]) {
  try {
    await makeVideo(quota, { 'fal/wan-2.2': provider }, subject, 4);
  } catch (error) {
    console.log(`failed: ${error.message}; nothing was charged`);
  }
}

try {
  await makeVideo(quota, { 'fal/wan-2.2': obliging }, subject, 60);
} catch (error) {
  if (!(error instanceof Denied)) {
    throw error;
  }
  console.log(`denied: ${error.message}`);
  for (const remedy of error.remedies()) {
    console.log(`  instead: ${remedy}`);
  }
}

try {
  await makeVideo(quota, { 'fal/wan-2.2': obliging }, subject, -1);
} catch (error) {
  if (!(error instanceof QuotaError)) {
    throw error;
  }
  console.log(`refused: ${error.reason}`);
  for (const { field, description } of error.fields) {
    console.log(`  ${field}: ${description}`);
  }
}

const { balances } = await quota.call('GetBalance', { subject }, 5_000);
console.log(`left: ${balances[0].available} ${balances[0].meter}`);
quota.close();
